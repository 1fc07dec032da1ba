import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccompress import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 16 cores and no limits, and a function that sets its control groups.

    The function takes the lines of /proc/self/cgroup, and the files below /sys/fs/cgroup.
    """
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(cores, "_MEMBERSHIP", tmp_path / "membership")

    def groups(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return groups


def test_without_limits_the_affinity_counts(machine, monkeypatch):
    assert cores.available() == 16  # there is no file of control groups, as on macOS
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert cores.available() == 1


def v1(quota, folder=""):
    return {
        f"cpu{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"cpu{folder}/cpu.cfs_period_us": "100000\n",
    }


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        # a systemd unit: the quota is set on a group above the process's own
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "100000 100000\n"}, 1),
        # version 1, in a container whose group is named as the host knows it
        ("4:cpu,cpuacct:/docker/1f2e\n0::/\n", v1(400000), 4),
        ("4:memory:/x\n3:cpu:/x\n", v1(-1) | v1(500000, "/x"), 5),
        ("4:cpuacct:/x\n3:cpuset:/\n", v1(100000), 16),
        ("1:cpu:/\n", v1(-1), 16),
    ],
)
def test_the_quota_of_control_groups(machine, membership, files, expected):
    machine(membership, files)
    assert cores.available() == expected


def test_a_cluster_grants_cores(machine, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert cores.available() == 4
    machine("0::/\n", {"cpu.max": "200000 100000\n"})
    assert cores.available() == 2


@pytest.mark.parametrize(
    ("variable", "processes", "expected"),
    [
        (None, 1, 16),
        (None, 3, 5),
        (None, 40, 1),
        ("4", 1, 4),
        ("4", 2, 4),  # it limits each process
        ("4", 8, 2),
        ("64", 1, 16),
        ("4,2", 1, 4),  # a list: nested parallel regions
        ("many", 1, 16),
    ],
)
def test_threads_of_each_process(machine, monkeypatch, variable, processes, expected):
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert cores.threads(processes) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_on_one_core_has_one_thread(tmp_path):
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}]); from ccompress import cores\n"
    code += "print(cores.available(), cores.threads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"


def test_only_one_module_reads_the_number_of_cores_of_the_machine():
    root = Path(__file__).parents[1]
    files = [*(root / "ccompress").rglob("*.py"), *(root / "scripts").rglob("*.py")]
    reading = [path.name for path in files if "cpu_count" in path.read_text(encoding="utf-8")]
    assert reading == ["cores.py"]
