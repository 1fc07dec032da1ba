import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny_data
from command_line import SCRIPT
from omegaconf import OmegaConf

from ccompress import cores
from ccompress.cli import command
from ccompress.experiment import launching, results

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
    assert "a row of results, its folder is not here" in ccompress(*tiny, *one).stdout
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


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_fails_runs_and_loses_none(ccompress, tiny, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        full = ccompress(*tiny, *GRID, f"runs_dir={small}/runs")
        assert full.returncode == 1
        assert "Traceback" not in full.stderr
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
