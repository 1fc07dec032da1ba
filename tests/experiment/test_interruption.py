import json
import os
import random
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import composing
import pandas as pd
import pytest
from sweep_grid import GRID, RUNS, unmeasured

from ccompress.experiment import results


@pytest.mark.slow
@pytest.mark.skipif(
    not list(Path("/proc/self/task").glob("*/children")), reason="finds processes in /proc"
)
def test_a_sweep_reports_what_is_missing_after_a_kill(ccompress, started, tiny, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = started(*tiny, *GRID, *parallel)
    runs = tmp_path / "results" / "runs"
    while process.poll() is None and not list(runs.glob("*/config.yaml")):
        time.sleep(0.05)
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    started = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    workers = [int(child) for child, line in started.items() if b"popen_loky" in line]
    os.kill(workers[0], signal.SIGKILL)
    stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert f"of {RUNS} runs are done" in stdout
    assert "the launcher gave up: A worker process" in stderr
    assert "no result" in stderr
    assert "Traceback" not in stderr
    assert ccompress(*tiny, *GRID).returncode == 0


@pytest.mark.slow
def test_two_sweeps_can_share_a_folder_at_the_same_time(started, tiny, undisturbed, tmp_path):
    both = [started(*tiny, *GRID) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    pd.testing.assert_frame_equal(unmeasured(tmp_path), unmeasured(undisturbed))


def test_a_truncated_result_and_a_damaged_stage_are_made_again(ccompress, tiny, swept, tmp_path):
    before = unmeasured(tmp_path)
    runs = tmp_path / "results" / "runs"
    (tmp_path / "results" / "mine" / "runs.csv").unlink()
    results_files = sorted(runs.glob("*/result.json"))
    results_files[0].write_text(results_files[0].read_text()[:100])
    results_files[1].write_text("")
    results_files[2].unlink()
    for training in (runs / ".stages").glob("*.safetensors"):
        contents = bytearray(training.read_bytes())
        contents[-9] ^= 4
        training.write_bytes(contents)
    done = ccompress(*tiny, *GRID)
    assert done.returncode == 0
    assert f"{RUNS - 3} finished before, 3 to do" in done.stdout
    pd.testing.assert_frame_equal(unmeasured(tmp_path), before)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_fails_runs_and_loses_none(ccompress, tiny, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        single = ccompress(*tiny, "method=none", f"runs_dir={small}/runs", "network.hidden=2000")
        assert single.returncode == 1
        assert single.stderr.endswith(": No space left on device\n")
        assert len(single.stderr.splitlines()) == 1
        for launcher in [], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]:
            full = ccompress(*tiny, *GRID, f"runs_dir={small}/runs", *launcher)
            assert full.returncode == 1
            assert full.stderr.startswith("the sweep ends here: ")
            assert "No space left on device" in full.stderr
            assert len(full.stderr.splitlines()) == 1
        rows = results.collect(small / "runs")
        assert len(rows) < RUNS
        assert all(row["status"] == "done" for row in rows)
        subprocess.run(["mount", "-o", "remount,size=100M", str(small)], check=True)
        done = ccompress(*tiny, *GRID, f"runs_dir={small}/runs")
        assert done.returncode == 0, done.stderr
        assert len(unmeasured(tmp_path)) == RUNS
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_killed_run_is_listed_with_how_far_it_came_and_what_continues_it(
    ccompress, started, tiny, tmp_path
):
    where = [f"runs_dir={tmp_path}/my runs", "save_model=false"]
    process = started(*tiny, "train.epochs=9000", *where)
    while not process.stdout.readline().startswith("epoch 3/9000"):
        assert process.poll() is None

    def listed(*arguments):
        return ccompress("runs", f"{tmp_path}/my runs", *arguments).stdout

    (run_id,) = (path.parent.name for path in tmp_path.glob("my runs/*/begun.json"))
    assert f"{run_id} running after epoch " in listed()
    process.kill()
    process.wait()
    (line,) = listed("status=interrupted").splitlines()[-1:]
    assert re.match(rf"{run_id} interrupted after epoch \d+ of 9000; this continues it: ", line)
    _, *words = shlex.split(line.partition("this continues it: ")[2])
    settings = composing.settings(*words)
    assert (settings.run_id, settings.threads) == (run_id, 1)
    assert (settings.runs_dir, settings.save_model) == (tmp_path / "my runs", False)
    (row,) = json.loads(listed("--format", "json"))
    assert (row["method"], row["epochs"]) == ("in_training_svd", 9000)


def test_a_finished_or_failed_run_is_not_unfinished(ccompress, tiny, tmp_path):
    assert ccompress(*tiny, "method=none").returncode == 0
    diverged = ["schedule=fixed", "schedule.upper=1e30"]
    assert ccompress(*tiny, "method=none", *diverged).returncode == 1
    assert list(tmp_path.glob("results/runs/*/begun.json")) == []
    statuses = [row["status"] for row in json.loads(ccompress("runs", "--format", "json").stdout)]
    assert sorted(statuses) == ["done", "failed"]


@pytest.mark.slow
def test_twenty_kills_lose_nothing(ccompress, forked, tiny, undisturbed, tmp_path):
    draw = random.Random(0)
    kills = 0
    while kills < 20:
        process = forked(*tiny, *GRID)
        line = process.stdout.readline()  # printed when the runs begin
        assert "finished before" in line, line
        time.sleep(draw.uniform(0, 0.4))
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break  # it finished before it could be killed twenty times
        process.stdout.read()  # until the process has ended
        kills += 1
    assert kills >= 5
    assert ccompress(*tiny, *GRID).returncode == 0
    pd.testing.assert_frame_equal(unmeasured(tmp_path), unmeasured(undisturbed))
