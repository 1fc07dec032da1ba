from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny_data
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from sweep_grid import GRID, RATES, SEEDS, unmeasured

from ccompress import cores
from ccompress.experiment import launching, results
from ccompress.experiment.jobs import Job


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        ({}, 8),
        ({"n_jobs": 2}, 4),
        ({"n_jobs": -1}, 1),
        ({"n_jobs": -5}, 2),  # four processes
        ({"n_jobs": -20}, 8),
        ({"cpus_per_task": 3}, 3),
    ],
)
def test_processes_share_the_cores(monkeypatch, launcher, threads):
    monkeypatch.setattr(cores, "available", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert launching.threads(OmegaConf.create(launcher)) == threads


@pytest.mark.slow
def test_parallel_processes_give_the_same_rows_and_share_stages(
    ccompress, tiny, undisturbed, tmp_path
):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = ccompress(*tiny, *GRID, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(unmeasured(tmp_path), unmeasured(undisturbed))
    rows = results.collect(tmp_path / "results" / "runs")
    # The number depends on timing, since each of the two processes may train one part itself.
    assert sum(row["reused_stages"] for row in rows) >= SEEDS * (2 * RATES - 1)


@pytest.mark.slow
def test_cluster_jobs_and_a_second_call_that_runs_the_rest(console, tiny):
    """Uses submitit's local executor; scripts/slurm_check does the same with a real Slurm."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ["-m", "method=quantization", "save_model=false", "train.epochs=2"]
    sweep += ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"]
    failed = console(*tiny, *sweep, "rate=0.5,0.99")
    assert failed.returncode == 1
    assert "1 of 2 runs are done" in failed.stdout
    assert "the largest rate that works is 0.96875" in failed.stderr
    again = console(*tiny, *sweep, "rate=0.5")
    assert again.returncode == 0, again.stderr
    assert "1 runs: 1 finished before, 0 to do" in again.stdout


LAUNCHERS = pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]], ids=["basic", "joblib"]
)


@LAUNCHERS
def test_relative_paths_refer_to_the_folder_where_the_sweep_began(
    console, tmp_path, launcher, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    experiments = tmp_path / "own" / "experiment"
    experiments.mkdir(parents=True)
    text = "# @package _global_\nhydra: {job: {chdir: true}, sweep: {dir: elsewhere}}\n"
    (experiments / "away.yaml").write_text(text)
    relative = tiny_data.write(Path("data"))
    done = console(
        *("--config-dir", "own", "+experiment=away", "-m", *relative, *launcher),
        *("method=none", "seed=0,1", "train.epochs=1", "runs_dir=mine"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are done" in done.stdout
    assert len(results.collect(tmp_path / "mine")) == 2


FAILING = """
import os
from ccompress.methods.none import NoCompression

class Method(NoCompression):
    def __init__(self):
        if "IN_A_JOB" in os.environ:
            raise TypeError("this machine lacks something")
"""


@LAUNCHERS
def test_a_run_that_fails_before_it_begins_reports_the_reason(console, tiny, tmp_path, launcher):
    (tmp_path / "made_up_method.py").write_text(FAILING)
    grid = [*tiny, "-m", "method=none", "method._target_=made_up_method.Method", "seed=0,1"]
    job = ["+hydra.job.env_set.IN_A_JOB='1'"]
    done = console(*grid, *job, *launcher, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "0 of 2 runs are done" in done.stdout
    assert done.stderr.count("made_up_method.Method: this machine lacks something") == 1
    assert done.stderr.count("failed: for the same reason") == 1
    assert "Traceback" not in done.stderr


class Launcher:
    """A launcher whose odd runs fail, alternately inside the task and in Hydra's code around it."""

    def __init__(self):
        self.batches = []

    def launch(self, job_overrides, initial_job_idx):
        self.batches.append((initial_job_idx, len(job_overrides)))
        return [self.outcome(int(words[0])) for words in job_overrides]

    def outcome(self, number):
        if number % 4 == 1:
            return JobReturn(status=JobStatus.COMPLETED, _return_value={"error": "this"})
        if number % 4 == 3:
            return JobReturn(status=JobStatus.FAILED, _return_value=ValueError("that\nand more"))
        return JobReturn(status=JobStatus.COMPLETED, _return_value={"run_id": number})


@pytest.mark.parametrize("at_once", [None, 1, 2, 5, 6])
def test_a_launcher_gets_runs_in_batches_and_failures_have_reasons(at_once):
    launcher = Launcher()
    jobs = [Job([str(n)], SimpleNamespace(run_id=f"run {n}"), "") for n in range(5)]
    reasons = launching.launch(launcher, jobs, at_once)
    assert reasons == {"run 1": "this", "run 3": "ValueError: that and more"}
    size = at_once or 5
    assert launcher.batches == [(first, min(size, 5 - first)) for first in range(0, 5, size)]
