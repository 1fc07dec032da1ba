import shutil
from pathlib import Path

import pandas as pd
from sweep_grid import GRID, RATES, RUNS, SEEDS, unmeasured

from ccompress.cli import command
from ccompress.experiment import results

ROOT = Path(__file__).parents[2]


def test_each_run_is_done_once_and_finished_ones_are_skipped(
    console, tiny, undisturbed, swept, tmp_path
):
    output = (undisturbed / "output").read_text(encoding="utf-8")
    assert f"{RUNS} runs: 0 finished before, {RUNS} to do" in output
    rows = results.collect(tmp_path / "results" / "runs")
    assert len(rows) == RUNS
    trainings = list((tmp_path / "results" / "runs" / ".stages").glob("*.safetensors"))
    # For each seed: a training of one epoch, with which in_training_svd begins, and one of two.
    assert len(trainings) == SEEDS * 2
    # All runs except the first of each training reuse it.
    assert sum(row["reused_stages"] for row in rows) == SEEDS * 2 * RATES

    written = unmeasured(tmp_path)
    again = console(*tiny, *GRID)
    assert f"{RUNS} finished before, 0 to do" in again.stdout
    pd.testing.assert_frame_equal(unmeasured(tmp_path), written)


def test_rows_of_another_protocol_are_refused(ccompress, tiny, tmp_path):
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


def test_committed_rows_count_as_finished_on_another_machine(ccompress, tiny, swept, tmp_path):
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
    # That row has no model, so it does not count as finished for a run that stores its model.
    one[one.index("save_model=false")] = "save_model=true"
    done = ccompress(*tiny, *one)
    assert "finished before" not in done.stdout
    assert len(list((tmp_path / "results" / "runs").glob("*/model.safetensors"))) == 1


def test_a_failing_run_does_not_stop_others_and_is_repeated_alone(ccompress, tiny, tmp_path):
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
    """The file was written by an earlier version, lacks a column, and was amended later."""
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
    # A new run adds the column, and changes no cell of the other rows.
    assert ccompress(*grid, "seed=0,1").returncode == 0
    after = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(after) == list(results.COLUMNS)
    kept = after[after["seed"] == "0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[list(earlier)], earlier)
    assert set(kept["tokens_with_vector"]) == {""}
    assert "" not in set(after.loc[after["seed"] == "1", "tokens_with_vector"])
    # If a run is forced, its new row replaces the old one.
    assert ccompress(*grid, "seed=0", "force=true").returncode == 0
    forced = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert "12345" not in set(forced["folded_bytes"])


def test_a_rate_that_is_refused_again_leaves_the_file_as_it_is(ccompress, tiny, tmp_path):
    grid = [*tiny, "-m", "method=none,quantization", "rate=0.5,0.99", "experiment_name=mine"]
    grid += ["save_model=false", "train.epochs=1"]
    assert ccompress(*grid).returncode == 1
    path = tmp_path / "results" / "mine" / "runs.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(rows["status"]).count("failed") == 1
    # As if another machine had written the file earlier and with fewer columns.
    earlier = rows.drop(columns=["tokens_with_vector"]).assign(created="2026-01-01T00:00:00+00:00")
    earlier.to_csv(path, index=False)
    before = path.read_bytes()
    again = ccompress(*grid)
    assert again.returncode == 1
    assert "2 finished before, 1 to do" in again.stdout
    assert path.read_bytes() == before


def test_combinations_that_cannot_be_composed_are_bad_input(ccompress, tiny):
    done = ccompress(*tiny, "-m", "method=none,quantisation")
    assert done.returncode == 2
    assert "did you mean quantization?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_of_two_experiments_has_a_row_in_both(ccompress, tiny, tmp_path):
    grid = ["-m", "method=none,quantization", "rate=0.5", "seed=0", "save_model=false"]
    grid += ["train.epochs=2"]
    explicit = ["schedule.upper=0.002", "experiment_name=other"]  # the default, given explicitly
    assert ccompress(*tiny, *grid, *explicit).returncode == 0
    done = ccompress(*tiny, *grid, "experiment_name=mine")
    assert "2 runs: 2 finished before, 0 to do" in done.stdout
    other, mine = (
        pd.read_csv(tmp_path / "results" / name / "runs.csv") for name in ("other", "mine")
    )
    assert mine["run_id"].tolist() == other["run_id"].tolist()
    # Each row has the command line of its own experiment.
    assert other["overrides"].str.contains("schedule.upper").all()
    assert not mine["overrides"].str.contains("schedule.upper").any()
    columns = mine.columns.drop("overrides")
    pd.testing.assert_frame_equal(mine[columns], other[columns])
    # An experiment's rows stay unchanged if the other one has different measurements, as from
    # another machine.
    results_dir = tmp_path / "results"
    (results_dir / "runs").rename(tmp_path / "gone")
    before = (results_dir / "mine" / "runs.csv").read_bytes()
    other.assign(latency_ms=123.0).to_csv(results_dir / "other" / "runs.csv", index=False)
    again = ccompress(*tiny, *grid, "experiment_name=mine")
    assert "2 runs: 2 finished before, 0 to do" in again.stdout
    assert (results_dir / "mine" / "runs.csv").read_bytes() == before


def test_each_schedule_writes_its_spectra(ccompress, tiny, tmp_path):
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


def test_each_line_of_a_sweep_names_the_swept_values(ccompress, tiny):
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


def test_all_missing_data_are_reported_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paper = ["+experiment=paper", "-m", "data.root=nowhere", "rate=0.9", "seed=0", "network=dan"]
    sets = "sst2 trec snips clinc150"
    for vectors, fetch in (("imdb_glove300", sets), ("glove300", f"sst2 glove {sets[5:]}")):
        assert command([*paper, f"vectors={vectors}"]) == 2
        output = capsys.readouterr()
        assert f"run: ccompress data fetch {fetch}" in output.err
        assert len(output.err.splitlines()) == 1
        assert output.out == ""
    assert not list(tmp_path.iterdir())


def test_finished_runs_need_no_data(tmp_path, monkeypatch, capsys):
    """Runs with a committed row need no data; for the others, the missing data are reported."""
    folder = tmp_path / "results" / "phrases"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "results" / "phrases" / "runs.csv", folder)
    monkeypatch.chdir(tmp_path)
    phrases = ["+experiment=phrases", "-m", "data.root=nowhere", "network=dan", "rate=0.9"]
    assert command(phrases) == 0
    assert "12 runs: 12 finished before, 0 to do" in capsys.readouterr().out
    assert command([*phrases, "seed=0,9"]) == 2
    assert "run: ccompress data fetch sst2" in capsys.readouterr().err


def test_input_that_is_refused_for_one_reason_is_explained_once(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, "-m", "rate=0.99", "seed=0,1", "experiment_name=mine")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0] == "2 failed; their input was refused:"
    assert "the largest rate that works is" in said[1]
    assert said[2].endswith("seed=1: failed: for the same reason")
    report = ccompress("report", "mine")
    assert report.returncode == 2
    assert "0 failed, 2 refused as input): InputError: rate=0.99" in report.stderr
