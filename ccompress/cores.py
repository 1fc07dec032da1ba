"""How many processor cores this process may use, which is often fewer than the machine has."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available() -> int:
    """The number of cores that this process may use, at least 1.

    It is the smallest of three limits: the processor affinity (`taskset`, a cluster's cpusets), the
    CPU quota of the control groups (a container's `--cpus`), and `SLURM_CPUS_PER_TASK`.
    """
    limits: list[float] = [_affinity(), *_quotas()]
    if granted := _count(os.environ.get("SLURM_CPUS_PER_TASK")):
        limits.append(granted)
    # A fraction of a core is worth one more thread. Go and joblib round up too.
    return max(1, math.ceil(min(limits)))


def threads(processes: int = 1) -> int:
    """The number of CPU threads for each of `processes` that run at the same time, at least 1.

    `OMP_NUM_THREADS` limits the threads of each process, not the cores of all processes together.
    """
    each = max(1, available() // processes)
    return min(each, _count(os.environ.get("OMP_NUM_THREADS")) or each)


def _affinity() -> int:
    """The number of cores on which the system may schedule this process."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(text: str | None) -> int | None:
    """The positive number in an environment variable, or the first of a list as OpenMP has it."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _quotas() -> Iterator[float]:
    """The CPU quota, in cores, of each control group of this process that sets one."""
    for controllers, group in _memberships():
        if controllers == [""]:  # version 2: quota and period in one file
            for folder in _upwards(_CGROUPS, group):
                yield from _quota(_words(folder / "cpu.max"))
        elif "cpu" in controllers:  # version 1
            for folder in _upwards(_CGROUPS / "cpu", group):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                yield from _quota([word for name in names for word in _words(folder / name)])


def _memberships() -> Iterator[tuple[list[str], str]]:
    """The controllers and the group on each line of /proc/self/cgroup; see cgroups(7)."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        yield controllers.split(","), group


def _upwards(root: Path, group: str) -> Iterator[Path]:
    """The folder of a group and all its parents up to `root`; each of them may set a quota.

    In a container the group often has the host's name, while `root` shows the container's own
    groups. Some of these folders then do not exist, and `_words` returns nothing for them.
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
    """The quota in cores: microseconds of processor time per period; nothing for `max` and -1."""
    if len(words) == 2 and words[0].isdecimal():
        yield int(words[0]) / int(words[1])
