"""The last lines of a run and of a sweep, which compare the deployed model with its reference."""

import io
import re
import sys

import composing
import pandas as pd
import pytest
import tiny_data

from ccompress.errors import Diverged
from ccompress.experiment import console, log, reference, results
from ccompress.experiment.single import Single
from ccompress.training.trainer import EpochRow

COMPARED = "reference=auto"


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


def rows(folder):
    return {row["method"]: row for row in results.collect(folder / "results" / "runs")}


def fact(output, name):
    """The text after the name in one of the last lines."""
    (line,) = re.findall(rf"^  {name} +(.*)$", output, re.MULTILINE)
    return line


@pytest.mark.parametrize("method", ["in_training_svd", "pre_training_svd", "quantization"])
def test_a_run_ends_with_its_reference_and_the_drop(ccompress, tiny, tmp_path, method):
    done = ccompress(*tiny, COMPARED, f"method={method}", "rate=0.74")
    assert done.returncode == 0, done.stderr
    compressed, reference = (rows(tmp_path)[name] for name in (method, "none"))
    output = done.stdout
    assert fact(output, "data") == "120 train, 40 dev, 40 test; 3 classes"
    assert f"(run {reference['run_id']})" in fact(output, "reference")
    assert fact(output, "reference").startswith(f"{reference['test_accuracy']:.2f} % on test, ")
    assert fact(output, "compressed").startswith(f"{compressed['test_accuracy']:.2f} % on test, ")
    drops = [reference[key] - compressed[key] for key in ("test_accuracy", "dev_accuracy")]
    errors = [
        results.sampling_error(compressed[f"{split}_accuracy"], compressed[f"{split}_size"])
        for split in ("test", "dev")
    ]
    assert fact(output, "drop") == (
        f"{drops[0]:+.2f} points on test, {drops[1]:+.2f} on dev "
        f"(sampling error {errors[0]:.2f} on test, {errors[1]:.2f} on dev)"
    )
    sizes = [results.size(row["file_bytes"]) for row in (reference, compressed)]
    assert fact(output, "model file").startswith(f"{sizes[0]} -> {sizes[1]} (")


def test_the_reference_is_that_of_the_command_with_none_and_is_trained_once(
    ccompress, tiny, tmp_path
):
    method = ["method=in_training_svd", "method.compress_at=0.4", "rate=0.74"]
    first = ccompress(*tiny, COMPARED, *method)
    run_id = rows(tmp_path)["none"]["run_id"]
    assert "continues after epoch 2 of 4, stored by run" in first.stdout  # 0.4 of 4 epochs
    assert f"the reference, run {run_id}; reference=skip leaves it out" in first.stdout
    again = ccompress(*tiny, "method=none", COMPARED)
    assert "finished before" in again.stdout
    assert "this is the reference" in fact(again.stdout, "accuracy")
    line = rows(tmp_path)["none"]["overrides"].split()
    assert line[0] == "ccompress"
    assert not any(word.startswith(("method.", "rate=", "reference=")) for word in line)
    assert "finished before" in ccompress(*line[1:], "threads=1").stdout
    other = ccompress(*tiny, COMPARED, "method=quantization", "rate=0.5")
    assert f"run {run_id}, finished before" in fact(other.stdout, "reference")


@pytest.mark.parametrize("compression", [["method=in_training_svd", "rest=int8"], ["rate=0.5"]])
def test_settings_of_the_reference_are_those_of_method_none(tiny, compression):
    options = [*tiny, "rate=0.74", "network=lstm", "seed=3"]
    made = reference.settings_of(composing.settings(*options, *compression, "force=true"))
    composed = composing.settings(*options, "method=none")
    assert (made.run_id, made.names, made.resolved) == (
        composed.run_id,
        composed.names,
        composed.resolved,
    )


def test_without_a_reference(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, "method=in_training_svd", "rate=0.74")
    assert fact(done.stdout, "reference") == "left out: reference=skip"
    assert "sampling error" in fact(done.stdout, "compressed")
    (row,) = rows(tmp_path).values()
    # The size of the reference's file is known even without the reference.
    assert ccompress(*tiny, "method=none").returncode == 0
    reference_bytes = rows(tmp_path)["none"]["file_bytes"]
    before, after = console.model_sizes(row, None)
    assert after == row["file_bytes"]
    assert before == pytest.approx(reference_bytes, rel=0.05)
    assert ccompress(*tiny, "reference=never").returncode == 2


def test_a_size_that_an_earlier_version_did_not_record_is_reported_so(ccompress, tiny, tmp_path):
    sweep = [*tiny, "method=in_training_svd", "rate=0.74"]
    assert "smaller)" in fact(ccompress(*sweep).stdout, "model file")
    (row,) = rows(tmp_path).values()
    folder = tmp_path / "results" / "runs" / row["run_id"]
    results.write_result(folder, row | {"folded_bytes": None, "file_bytes": None})
    shown = fact(ccompress(*sweep).stdout, "model")
    assert shown.endswith("-> not recorded by an earlier version (force=true runs it)")


def test_the_file_of_an_earlier_version_was_not_folded():
    row = {"model_bytes_original": 9000, "folded_bytes": 800, "file_bytes": 1300}
    assert console.model_sizes(row | {"file_table_bytes": None}, None) == (9000, 800)
    assert console.model_sizes(row | {"file_table_bytes": 700}, None) == (9500, 1300)


def test_a_committed_row_is_a_reference(ccompress, tiny, tmp_path):
    grid = [*tiny, "-m", "method=none", "experiment_name=mine", "save_model=false"]
    assert ccompress(*grid).returncode == 0
    (tmp_path / "results" / "runs").rename(tmp_path / "gone")
    done = ccompress(*tiny, COMPARED, "method=pre_training_svd", "rate=0.74")
    assert "finished before" in fact(done.stdout, "reference")
    assert rows(tmp_path).keys() == {"pre_training_svd"}


def test_a_run_succeeds_even_if_its_reference_diverges(ccompress, tiny, tmp_path, monkeypatch):
    trained = Single._trained

    def diverging(single, settings, overrides):
        if settings.names["method"] == "none":
            raise Diverged("the loss was nan")
        return trained(single, settings, overrides)

    monkeypatch.setattr(Single, "_trained", diverging)
    done = ccompress(*tiny, COMPARED, "method=in_training_svd", "rate=0.74")
    assert done.returncode == 0, done.stderr
    assert fact(done.stdout, "reference") == "none: the loss was nan"


def table(output):
    """The lines of a sweep's table: the setting -> the other cells, which two spaces separate."""
    lines = output.partition("sampling error")[2].splitlines()[1:]
    cells = [re.split(r" {2,}", line) for line in lines if " -> " in line]
    return {name: others for name, *others in cells}


def test_a_sweep_ends_with_a_line_for_each_setting(ccompress, tiny, tmp_path):
    grid = ["-m", "method=none,in_training_svd", "rate=0.6,0.74", "seed=0,1", COMPARED]
    done = ccompress(*tiny, *grid)
    assert done.returncode == 0, done.stderr
    assert "custom: 120 train, 40 dev, 40 test; 3 classes; vectors, for 50 of 62" in done.stdout
    runs = results.collect(tmp_path / "results" / "runs")
    lines = table(done.stdout)
    assert lines.keys() == {
        "custom dan calr none",
        "custom dan calr in_training_svd 0.6",
        "custom dan calr in_training_svd 0.74",
    }
    for rate in (0.6, 0.74):
        seeds = [row for row in runs if row["rate"] == rate]
        references = {row["seed"]: row for row in runs if row["method"] == "none"}
        drop = sum(references[r["seed"]]["test_accuracy"] - r["test_accuracy"] for r in seeds) / 2
        accuracy = sum(row["test_accuracy"] for row in references.values()) / 2
        cells = lines[f"custom dan calr in_training_svd {rate}"]
        assert cells[:2] == ["2", f"{accuracy:.2f} %"]
        assert cells[3] == f"{drop:+.2f}"
        assert cells[-1].startswith(results.size(references[0]["file_bytes"]))
    assert "have no reference" not in done.stdout


def test_a_sweep_trains_no_reference_but_finds_one(ccompress, tiny, tmp_path):
    grid = [*tiny, "-m", "method=pre_training_svd", "rate=0.74", "seed=0,1", COMPARED]
    done = ccompress(*grid)
    assert rows(tmp_path).keys() == {"pre_training_svd"}
    assert "2 runs have no reference: the sweep with method=none trains it" in done.stdout
    assert table(done.stdout)["custom dan calr pre_training_svd 0.74"][1] == "-"
    assert ccompress(*tiny, "method=none", "seed=0").returncode == 0
    # Only one of two seeds has a reference now, and its mean is not comparable with that of both.
    again = ccompress(*grid)
    assert "1 runs have no reference" in again.stdout
    assert table(again.stdout)["custom dan calr pre_training_svd 0.74"][1] == "-"
    assert ccompress(*tiny, "method=none", "seed=1").returncode == 0
    assert table(ccompress(*grid).stdout)["custom dan calr pre_training_svd 0.74"][1] != "-"
    skipped = ccompress(*grid, "reference=skip").stdout
    assert table(skipped)["custom dan calr pre_training_svd 0.74"][1] == "-"
    assert "have no reference" not in skipped


def test_quiet_prints_only_the_last_lines(ccompress, tiny):
    single = ccompress(*tiny, "--quiet", COMPARED, "rate=0.74")
    assert single.returncode == 0, single.stderr
    assert single.stdout.startswith("custom, dan, in_training_svd at rate 0.74")
    assert "drop" in single.stdout
    sweep = ccompress("--quiet", *tiny, "-m", "seed=1,2", "rate=0.74")
    assert sweep.stdout.startswith("2 of 2 runs are done\n")
    assert sweep.stderr == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_with_the_time_left(tiny, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", Terminal())
    settings = composing.settings(*tiny, "rate=0.74")
    with console.progress(settings) as (on_epoch, say):
        say("goes on from epoch 2 of 4")
        for epoch in (3, 4):
            on_epoch(EpochRow("compressed", epoch, 7 * epoch, 0.1, 0.5, 80.0, 0.01))
    shown = sys.stderr.getvalue()
    assert "in_training_svd: 100%" in shown
    assert "| 4/4 [" in shown
    assert "<00:00" in shown
    assert "dev 80.00 %" in shown
    assert capsys.readouterr().out == "goes on from epoch 2 of 4\n"


def test_each_run_has_a_log(ccompress, tiny, tmp_path):
    runs = tmp_path / "results" / "runs"
    single = ccompress(*tiny, COMPARED, "rate=0.74")
    (folder,) = (each.parent for each in runs.glob("*/log") if "in_training" in each.read_text())
    lines = (folder / log.FILE).read_text().splitlines()
    shown = single.stdout.splitlines()
    assert lines[0].endswith(rows(tmp_path)["in_training_svd"]["overrides"])
    assert lines[1:5] == shown[:4]  # the epochs
    assert lines[5].startswith("done: test ")
    assert lines[6:] == shown[-len(lines[6:]) :]
    assert ccompress(*tiny, "-m", "seed=1,2", "rate=0.74", "--quiet").returncode == 0
    for row in results.collect(runs):
        assert "epoch 4/4 " in (runs / row["run_id"] / log.FILE).read_text()


def test_a_subset_of_glove_is_called_a_subset():
    assert results.vectors_name("glove.6B.100d.subset") == "a subset of glove.6B.100d"
    assert results.vectors_name("glove.6B.100d") == "glove.6B.100d"


def test_the_tokens_with_a_vector_are_counted(ccompress, tiny, tmp_path):
    done = ccompress(*tiny, "method=none")
    words = [line.partition(",")[0].split() for line in _lines(tmp_path / "data" / "train.csv")]
    tokens = [word for text in words for word in text]
    share = sum(int(word[1:]) < 50 for word in tokens) / len(tokens)  # w0 to w49 have one
    assert rows(tmp_path)["none"]["tokens_with_vector"] == pytest.approx(share)
    assert f"and {100 * share:.1f} % of the tokens of train" in fact(done.stdout, "vectors")


def _lines(path):
    return path.read_text().splitlines()[1:]


def test_a_report_on_a_sweep_measures_drops_from_the_reference_of_its_last_lines(
    ccompress, tiny, tmp_path
):
    """The reference was run on its own, with an option that a sweep need not name."""
    assert ccompress(*tiny, "method=none", "rest=float32", COMPARED).returncode == 0
    grid = ["-m", "method=pre_training_svd", "rate=0.6,0.74", COMPARED, "experiment_name=mine"]
    said = table(ccompress(*tiny, *grid).stdout)
    assert ccompress("report", "mine").returncode == 0
    drops = pd.read_csv(tmp_path / "results/mine/tables/drops.csv").set_index("rate")["drop"]
    for rate in (0.6, 0.74):
        name = f"custom dan calr pre_training_svd {rate}"
        assert f"{drops[rate]:+.2f}" == said[name][3]
    skipped = [*tiny, *grid[:3], "experiment_name=other", "reference=skip"]
    assert ccompress(*skipped).returncode == 0
    assert "Without drops" in ccompress("report", "other").stdout


def test_single_runs_of_an_experiment_make_its_report(ccompress, tiny, tmp_path):
    for rate in ("0.6", "0.74"):
        run = ["method=in_training_svd", f"rate={rate}", "experiment_name=x", COMPARED]
        assert ccompress(*tiny, *run).returncode == 0
    runs = pd.read_csv(tmp_path / "results/x/runs.csv")
    assert sorted(runs["method"]) == ["in_training_svd", "in_training_svd", "none"]
    assert "Without drops" not in ccompress("report", "x").stdout
    # A run that was finished before, elsewhere, belongs to the experiment too.
    assert ccompress(*tiny, "method=quantization", "rate=0.5").returncode == 0
    again = ccompress(*tiny, "method=quantization", "rate=0.5", "experiment_name=x", COMPARED)
    assert "finished before" in again.stdout
    assert len(pd.read_csv(tmp_path / "results/x/runs.csv")) == 4
    refused = ccompress(*tiny, "method=in_training_svd", "rate=0.999", "experiment_name=x")
    assert refused.returncode == 2
    diverged = ccompress(*tiny, "method=none", "schedule=fixed", "schedule.upper=1e30", *run[2:])
    assert diverged.returncode == 1
    rows = pd.read_csv(tmp_path / "results/x/runs.csv")
    assert rows["status"].tolist().count("failed") == 1
    assert len(rows) == 5
