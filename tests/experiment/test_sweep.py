import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny_data
from command_line import SCRIPT
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from ccompress import cores
from ccompress.cli import command
from ccompress.experiment import launching, results
from ccompress.experiment.jobs import Job

ROOT = Path(__file__).parents[2]
SEEDS, RATES = 2, 2
GRID = [
    "-m",
    "method=none,in_training_svd,pre_training_svd,quantization",
    "rate=0.3,0.7",
    "seed=0,1",
    "experiment_name=mine",
    "save_model=false",
    "train.epochs=2",
]
RUNS = SEEDS * (1 + 3 * RATES)  # the reference is one run for all rates


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(tiny, tmp_path_factory):
    """A folder in which the grid was run by one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([SCRIPT, *tiny, *GRID], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def swept(undisturbed, tmp_path):
    """Puts those results into the test's own folder."""
    shutil.copytree(undisturbed / "results", tmp_path / "results")


def unmeasured(path):
    """runs.csv without what two equal runs may differ in."""
    frame = pd.read_csv(path / "results" / "mine" / "runs.csv").sort_values("run_id")
    return frame.drop(columns=list(results.MEASURED)).reset_index(drop=True)


def test_each_run_is_done_once_and_finished_ones_are_skipped(ccompress, console, tiny, tmp_path):
    first = ccompress(*tiny, *GRID)
    assert first.returncode == 0, first.stderr
    assert f"{RUNS} runs: 0 finished before, {RUNS} to do" in first.stdout
    rows = results.collect(tmp_path / "results" / "runs")
    assert len(rows) == RUNS
    trainings = list((tmp_path / "results" / "runs" / ".stages").glob("*.safetensors"))
    # a seed: one epoch, which in_training_svd begins with, and two
    assert len(trainings) == SEEDS * 2
    assert sum(row["reused_stages"] for row in rows) == SEEDS * 2 * RATES  # all but the first

    written = unmeasured(tmp_path)
    again = console(*tiny, *GRID)
    assert f"{RUNS} finished before, 0 to do" in again.stdout
    pd.testing.assert_frame_equal(unmeasured(tmp_path), written)


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


def test_rows_of_another_protocol_are_not_added_to(ccompress, tiny, tmp_path):
    grid = [*tiny, "-m", "method=none", "seed=0", "experiment_name=mine", "train.epochs=1"]
    assert ccompress(*grid).returncode == 0
    path = tmp_path / "results" / "mine" / "runs.csv"
    pd.read_csv(path).assign(protocol=1).to_csv(path, index=False)
    before = path.read_bytes()
    done = ccompress(*grid)
    assert done.returncode == 2
    assert "holds runs of protocol 1" in done.stderr
    assert path.read_bytes() == before
    path.write_text("")
    done = ccompress(*grid)
    assert done.returncode == 2
    assert "mine/runs.csv is not a table of runs" in done.stderr


def test_rows_of_a_committed_experiment_are_finished_on_another_machine(
    ccompress, tiny, swept, tmp_path
):
    before = unmeasured(tmp_path)
    (tmp_path / "results" / "runs").rename(tmp_path / "gone")
    again = ccompress(*tiny, *GRID, "seed=0,1,2")
    assert f"{RUNS} finished before, {RUNS // SEEDS} to do" in again.stdout
    after = unmeasured(tmp_path)
    pd.testing.assert_frame_equal(after[after.seed < SEEDS].reset_index(drop=True), before)
    assert len(after) == RUNS + RUNS // SEEDS
    (tmp_path / "results" / "runs").rename(tmp_path / "gone too")
    one = ["rate=0.3", "seed=0", "experiment_name=mine", "save_model=false", "train.epochs=2"]
    assert "a row of results, without a folder here" in ccompress(*tiny, *one).stdout
    # That row came without a model, so it does not do for a run that is to leave one.
    one[one.index("save_model=false")] = "save_model=true"
    done = ccompress(*tiny, *one)
    assert "finished before" not in done.stdout
    assert len(list((tmp_path / "results" / "runs").glob("*/model.safetensors"))) == 1


def test_a_failing_run_stops_no_other_and_only_it_is_run_again(ccompress, tiny, tmp_path):
    grid = [*tiny, "-m", "method=none,in_training_svd", "rate=0.5,0.97", "experiment_name=mine"]
    for _ in range(2):
        done = ccompress(*grid)
        assert done.returncode == 1
        assert "2 of 3 runs are done" in done.stdout
        assert "1 failed" in done.stderr
        assert "the largest rate that works is" in done.stderr
        assert "Traceback" not in done.stderr
    assert "2 finished before, 1 to do" in done.stdout
    row = next(r for r in results.read_runs(tmp_path / "results/mine/runs.csv") if r["error"])
    assert (row["status"], row["rate"], row["test_accuracy"]) == ("failed", 0.97, None)
    # Refused input is no run.
    runs = tmp_path / "results" / "runs"
    assert not (runs / row["run_id"]).exists()
    assert len(results.collect(runs)) == 2


def test_a_finished_row_and_its_file_stay_as_they_are(ccompress, tiny, tmp_path):
    """Of an earlier version, whose file lacks columns; and where its rows were amended since."""
    grid = [*tiny, "-m", "method=none,quantization", "rate=0.5", "experiment_name=mine"]
    grid += ["save_model=false", "train.epochs=1"]
    assert ccompress(*grid, "seed=0").returncode == 0
    path = tmp_path / "results" / "mine" / "runs.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    earlier = rows.drop(columns=["tokens_with_vector"]).assign(folded_bytes="12345")
    earlier.to_csv(path, index=False)
    before = path.read_bytes()
    assert "2 finished before" in ccompress(*grid, "seed=0").stdout
    assert path.read_bytes() == before
    # A new run brings the column, and changes no cell of the others.
    assert ccompress(*grid, "seed=0,1").returncode == 0
    after = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(after) == list(results.COLUMNS)
    kept = after[after["seed"] == "0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[list(earlier)], earlier)
    assert set(kept["tokens_with_vector"]) == {""}
    assert "" not in set(after.loc[after["seed"] == "1", "tokens_with_vector"])
    # Run again, a row is the run's own.
    assert ccompress(*grid, "seed=0", "force=true").returncode == 0
    forced = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert "12345" not in set(forced["folded_bytes"])


def test_combinations_that_cannot_be_composed_are_bad_input(ccompress, tiny):
    done = ccompress(*tiny, "-m", "method=none,quantisation")
    assert done.returncode == 2
    assert "did you mean quantization?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_that_two_experiments_share_stands_in_both(ccompress, tiny, tmp_path):
    grid = ["-m", "method=none,quantization", "rate=0.5", "seed=0", "save_model=false"]
    grid += ["train.epochs=2"]
    named = ["schedule.upper=0.002", "experiment_name=other"]  # the default, named
    assert ccompress(*tiny, *grid, *named).returncode == 0
    done = ccompress(*tiny, *grid, "experiment_name=mine")
    assert "2 runs: 2 finished before, 0 to do" in done.stdout
    other, mine = (
        pd.read_csv(tmp_path / "results" / name / "runs.csv") for name in ("other", "mine")
    )
    assert mine["run_id"].tolist() == other["run_id"].tolist()
    # Each has the command line that it is run by.
    assert other["overrides"].str.contains("schedule.upper").all()
    assert not mine["overrides"].str.contains("schedule.upper").any()
    columns = mine.columns.drop("overrides")
    pd.testing.assert_frame_equal(mine[columns], other[columns])
    # Measured otherwise in the other one, on another machine say, an experiment's rows stay.
    results_dir = tmp_path / "results"
    (results_dir / "runs").rename(tmp_path / "gone")
    before = (results_dir / "mine" / "runs.csv").read_bytes()
    other.assign(latency_ms=123.0).to_csv(results_dir / "other" / "runs.csv", index=False)
    again = ccompress(*tiny, *grid, "experiment_name=mine")
    assert "2 runs: 2 finished before, 0 to do" in again.stdout
    assert (results_dir / "mine" / "runs.csv").read_bytes() == before


def test_each_schedule_leaves_its_spectra(ccompress, tiny, tmp_path):
    grid = ["-m", "method=none", "schedule=fixed,clr", "seed=0,1", "experiment_name=mine"]
    for _ in range(2):  # a second call keeps what the first one wrote
        assert ccompress(*tiny, *grid, "train.epochs=2").returncode == 0
    spectra = pd.read_csv(tmp_path / "results" / "mine" / "spectra.csv")
    runs = pd.read_csv(tmp_path / "results" / "mine" / "runs.csv")
    spectra = spectra.merge(runs[["run_id", "schedule", "seed"]], on="run_id", how="left")
    assert set(spectra["seed"]) == {0}
    values = spectra.groupby(["schedule", "stage"])["singular_value"].agg(list)
    assert values["fixed", "before"] == values["clr", "before"]
    assert values["fixed", "after"] != values["clr", "after"]


def test_parallel_processes_give_the_same_rows_and_share_stages(
    console, tiny, undisturbed, tmp_path
):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = console(*tiny, *GRID, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(unmeasured(tmp_path), unmeasured(undisturbed))
    rows = results.collect(tmp_path / "results" / "runs")
    # As the processes meet: each may train a part of its own.
    assert sum(row["reused_stages"] for row in rows) >= SEEDS * (2 * RATES - 1)


@pytest.mark.skipif(
    not list(Path("/proc/self/task").glob("*/children")), reason="finds processes in /proc"
)
def test_a_sweep_whose_process_is_killed_says_what_is_missing(ccompress, started, tiny, tmp_path):
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


def test_jobs_of_a_cluster_and_a_second_call_that_goes_on(console, tiny):
    """Submitit's local executor; scripts/slurm_check does it through a real Slurm."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ["-m", "method=none,quantization", "save_model=false", "train.epochs=2"]
    sweep += ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"]
    failed = console(*tiny, *sweep, "rate=0.5,0.99")
    assert failed.returncode == 1
    assert "2 of 3 runs are done" in failed.stdout
    assert "the largest rate that works is 0.96875" in failed.stderr
    again = console(*tiny, *sweep, "rate=0.5")
    assert again.returncode == 0, again.stderr
    assert "2 runs: 2 finished before, 0 to do" in again.stdout


def test_two_sweeps_over_one_folder_at_once(started, tiny, undisturbed, tmp_path):
    both = [started(*tiny, *GRID) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
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


LAUNCHERS = pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]], ids=["basic", "joblib"]
)


@LAUNCHERS
def test_relative_paths_mean_what_they_meant_where_the_sweep_began(
    ccompress, tmp_path, launcher, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    experiments = tmp_path / "own" / "experiment"
    experiments.mkdir(parents=True)
    text = "# @package _global_\nhydra: {job: {chdir: true}, sweep: {dir: elsewhere}}\n"
    (experiments / "away.yaml").write_text(text)
    relative = tiny_data.write(Path("data"))
    done = ccompress(
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
def test_a_run_that_fails_before_it_begins_says_why(console, tiny, tmp_path, launcher):
    (tmp_path / "made_up_method.py").write_text(FAILING)
    grid = [*tiny, "-m", "method=none", "method._target_=made_up_method.Method", "seed=0,1"]
    job = ["+hydra.job.env_set.IN_A_JOB='1'"]
    done = console(*grid, *job, *launcher, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "0 of 2 runs are done" in done.stdout
    assert done.stderr.count("made_up_method.Method: this machine lacks something") == 2
    assert "Traceback" not in done.stderr


def test_a_sweep_says_of_each_run_what_tells_it_from_the_others(ccompress, tiny):
    grid = [*tiny, "-m", "method=in_training_svd", "rate=0.5,0.97", "train.epochs=2"]
    done = ccompress(*grid, "network.hidden=8,9", "seed=0,1")
    shown = [line.partition("] ")[2] for line in done.stdout.splitlines() if line[0] == "["]
    runs = {line.partition(": ")[0] for line in shown}
    assert len(runs) == 4
    assert sum(run.endswith("seed=1 network.hidden=9") for run in runs) == 1
    failed = [line.split(maxsplit=1)[1] for line in done.stderr.splitlines()[1:]]
    assert {line.partition(": ")[0] for line in failed} == {
        run.replace("rate=0.5", "rate=0.97") for run in runs
    }


class Launcher:
    """Fails the odd runs: in turn in the task, and in what Hydra does around it."""

    def __init__(self):
        self.given = []

    def launch(self, job_overrides, initial_job_idx):
        self.given.append((initial_job_idx, len(job_overrides)))
        return [self.outcome(int(words[0])) for words in job_overrides]

    def outcome(self, number):
        if number % 4 == 1:
            return JobReturn(status=JobStatus.COMPLETED, _return_value={"error": "this"})
        if number % 4 == 3:
            return JobReturn(status=JobStatus.FAILED, _return_value=ValueError("that\nand more"))
        return JobReturn(status=JobStatus.COMPLETED, _return_value={"run_id": number})


@pytest.mark.parametrize("at_once", [None, 1, 2, 5, 6])
def test_a_launcher_gets_so_many_runs_at_once_and_says_why_they_failed(at_once):
    launcher = Launcher()
    jobs = [Job([str(n)], SimpleNamespace(run_id=f"run {n}"), "") for n in range(5)]
    reasons = launching.launch(launcher, jobs, at_once)
    assert reasons == {"run 1": "this", "run 3": "ValueError: that and more"}
    size = at_once or 5
    assert launcher.given == [(first, min(size, 5 - first)) for first in range(0, 5, size)]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_fails_runs_and_loses_none(ccompress, tiny, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        one = ccompress(*tiny, "method=none", f"runs_dir={small}/runs", "network.hidden=2000")
        assert one.returncode == 1
        assert one.stderr.endswith(": No space left on device\n")
        assert len(one.stderr.splitlines()) == 1
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


@pytest.mark.slow
def test_twenty_kills_lose_nothing(ccompress, started, tiny, undisturbed, tmp_path):
    draw = random.Random(0)
    kills = 0
    while kills < 20:
        process = started(*tiny, *GRID)
        said = process.stdout.readline()  # it is composing no longer: runs begin
        assert "finished before" in said, said
        time.sleep(draw.uniform(0, 0.4))
        if process.poll() is not None:
            break  # finished before it could be killed twenty times
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 5
    assert ccompress(*tiny, *GRID).returncode == 0
    pd.testing.assert_frame_equal(unmeasured(tmp_path), unmeasured(undisturbed))


def test_all_missing_data_are_said_at_once_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paper = ["+experiment=paper", "-m", "data.root=nowhere", "rate=0.9", "seed=0", "network=dan"]
    sets = "sst2 trec snips clinc150"
    for vectors, fetch in (("imdb_glove300", sets), ("glove300", f"sst2 glove {sets[5:]}")):
        assert command([*paper, f"vectors={vectors}"]) == 2
        said = capsys.readouterr()
        assert said.err.strip().endswith(f"run: ccompress data fetch {fetch}")
        assert len(said.err.splitlines()) == 1
        assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_finished_runs_need_no_data(tmp_path, monkeypatch, capsys):
    """Those of a committed runs.csv; of the others it is said what they lack."""
    folder = tmp_path / "results" / "phrases"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "results" / "phrases" / "runs.csv", folder)
    monkeypatch.chdir(tmp_path)
    phrases = ["+experiment=phrases", "-m", "data.root=nowhere", "network=dan", "rate=0.9"]
    assert command(phrases) == 0
    assert "12 runs: 12 finished before, 0 to do" in capsys.readouterr().out
    assert command([*phrases, "seed=0,9"]) == 2
    assert "run: ccompress data fetch sst2" in capsys.readouterr().err
