"""How many processor cores this process may use; a machine often has more."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available() -> int:
    """The cores that this process may use, at least 1.

    That is the smallest of the processor affinity (`taskset`, a cluster's cpusets), the CPU quota
    of the control groups (a container's `--cpus`), and `SLURM_CPUS_PER_TASK`.
    """
    limits: list[float] = [_affinity(), *_quotas()]
    if granted := _count(os.environ.get("SLURM_CPUS_PER_TASK")):
        limits.append(granted)
    # Half a core more is worth a thread of its own, as Go and joblib round too.
    return max(1, math.ceil(min(limits)))


def threads(processes: int = 1) -> int:
    """CPU threads for each of `processes` that work side by side, at least 1.

    `OMP_NUM_THREADS` limits the threads of one process, not the cores of all.
    """
    each = max(1, available() // processes)
    return min(each, _count(os.environ.get("OMP_NUM_THREADS")) or each)


def _affinity() -> int:
    """The cores that the system schedules this process on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(text: str | None) -> int | None:
    """A positive number from an environment variable; of a list as in OpenMP, its first."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _quotas() -> Iterator[float]:
    """The CPU quota, in cores, of each control group that this process is in and that has one."""
    for controllers, group in _memberships():
        if controllers == [""]:  # version 2: quota and period in one file
            for folder in _upwards(_CGROUPS, group):
                yield from _quota(_words(folder / "cpu.max"))
        elif "cpu" in controllers:  # version 1
            for folder in _upwards(_CGROUPS / "cpu", group):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                yield from _quota([word for name in names for word in _words(folder / name)])


def _memberships() -> Iterator[tuple[list[str], str]]:
    """The controllers and the group of each line of the process's list, see cgroups(7)."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        yield controllers.split(","), group


def _upwards(root: Path, group: str) -> Iterator[Path]:
    """The folder of a group and those above it, each of which may set a quota.

    In a container the group is often named as the host knows it, while `root` shows the
    container's own: the folders that are not there are passed over by `_words`.
    """
    folder = root / group.strip("/")
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _quota(words: Sequence[str]) -> Iterator[float]:
    """Cores from microseconds of processor time in a period; nothing for `max` and -1."""
    if len(words) == 2 and words[0].isdecimal():
        yield int(words[0]) / int(words[1])
