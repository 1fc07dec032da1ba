"""`ccompress runs` and `ccompress runs diff` on made-up runs."""

import csv
import io
import json
import re
import sys

import pytest

from ccompress.commands import terminal
from ccompress.experiment import results


def stored(folder, rows, hidden=300):
    """Write rows as run folders with configurations that contain a hidden size."""
    for row in rows:
        results.write_result(folder / row["run_id"], row)
        value = row["overrides"].partition("network.hidden=")[2] or hidden
        compress_at = "" if row["method"] == "none" else "\n  compress_at: 0.5"
        (folder / row["run_id"] / "config.yaml").write_text(
            f"network:\n  _target_: ccompress.networks.DAN\n  hidden: {value}\n"
            f"method:\n  _target_: x{compress_at}\nthreads: 1\n"
        )


@pytest.fixture
def folder(tmp_path, grid):
    """Runs in results/runs: a reference, two methods, a variant, and a failed run."""
    rows = grid(methods=["in_training_svd", "quantization"], rates=[0.9], seeds=[0])
    reference, svd, quantization = rows
    variant = svd | {"overrides": f"{svd['overrides']} network.hidden=50"}
    failed = svd | dict.fromkeys(["vectors", "test_accuracy", "achieved_reduction"])
    failed |= {"rate": 0.5, "status": "failed", "error": "Diverged: step 7"}
    rows = [reference, svd, quantization, variant, failed]
    accuracies = (83.0, 82.0, 80.5, 79.0, None)
    for n, (row, accuracy) in enumerate(zip(rows, accuracies, strict=True)):
        run_id, created = f"{n}{n}aa00000000", f"2020-01-01T10:0{n}:00+00:00"
        row |= {"run_id": run_id, "created": created, "test_accuracy": accuracy}
        row |= {"folded_bytes": 500_000 - n}
    stored(tmp_path / "results" / "runs", rows)
    return tmp_path


def lines(ccompress, *arguments):
    done = ccompress("runs", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def ids(table):
    return [line[:2] for line in table if line[2:12] == "aa00000000"]


def test_the_table_has_columns_for_differing_values_and_shows_equal_ones_once(ccompress, folder):
    output = lines(ccompress)
    # Long names take several lines. The last of these lines has a part of every name.
    assert output[1].split()[:4] == ["run_id", "created", "status", "method"]
    assert "network." in output[0]
    assert ids(output)[:5] == ["44", "33", "22", "11", "00"]  # newest first
    variant = output[3].split()
    assert variant[0] == "33aa00000000"
    assert "50" in variant
    assert "300" in output[4].split()  # the default, from the run's configuration
    assert "ccompress dataset=" not in "\n".join(output)
    (same,) = [line for line in output if line.startswith("all: ")]
    assert "dataset=sst2 network=dan schedule=calr seed=0 vectors=imdb-glove.300d" in same
    assert "44aa00000000 failed: Diverged: step 7" in output


def test_the_size_that_is_shown_is_that_of_the_file_that_ships(ccompress, folder):
    said = lines(ccompress, "method=none,quantization")
    assert "folded_" in said[0]
    assert (
        "folded_bytes: the network in it; achieved_reduction: the share of the embedding"
        in (said[-1])
    )
    for run_id, size in (("00aa00000000", 9000), ("22aa00000000", 3000)):
        path = folder / "results" / "runs" / run_id
        row = results.read_result(path) | {"file_bytes": size, "file_table_bytes": 1}
        results.write_result(path, row)
    said = lines(ccompress, "method=none,quantization")
    assert "folded_" not in "".join(said)
    assert re.search(r" 3 kB +90\.6 %$", said[2])
    assert "file_bytes: the model file, which ships; achieved_reduction: " in said[-1]
    results_of_both = ccompress("runs", "diff", "00", "22").stdout
    assert re.search(r"(?m)^file_bytes \(the model file\) +9 kB +3 kB$", results_of_both)
    assert re.search(r"(?m)^embedding_bytes \(the table\) ", results_of_both)


def test_filters_choose_runs_as_in_a_report(ccompress, folder):
    assert ids(lines(ccompress, "method=in_training_svd", "status=done")) == ["33", "11"]
    assert ids(lines(ccompress, "network.hidden=50")) == ["33"]
    assert ids(lines(ccompress, "results/runs", "rate=0.90", "method=quantization")) == ["22"]
    done = ccompress("runs", "datset=sst2")
    assert done.returncode == 2
    assert "no run has a key datset (did you mean dataset?)" in done.stderr


def test_runs_can_be_sorted_by_a_column_or_an_option(ccompress, folder):
    assert ids(lines(ccompress, "--sort", "test_accuracy"))[:5] == ["33", "22", "11", "00", "44"]
    assert ids(lines(ccompress, "--sort", "network.hidden"))[0] == "33"  # 50 before 300
    assert ids(lines(ccompress, "--reverse", "status=done")) == ["00", "11", "22", "33"]
    done = ccompress("runs", "--sort", "test_acuracy")
    assert done.returncode == 2
    assert "--sort test_acuracy: no run has it (did you mean test_accuracy?)" in done.stderr


def test_csv_and_json_contain_every_column_and_option(ccompress, folder):
    (row,) = csv.DictReader(
        io.StringIO("\n".join(lines(ccompress, "network.hidden=50", "--format", "csv")))
    )
    assert list(row) == [*results.COLUMNS, "network.hidden"]
    assert (row["run_id"], row["network.hidden"], row["seed"]) == ("33aa00000000", "50", "0")
    assert row["bits"] == ""
    read = json.loads("\n".join(lines(ccompress, "--format", "json")))
    assert [each["run_id"][:2] for each in read] == ["44", "33", "22", "11", "00"]
    assert read[0]["test_accuracy"] is None
    assert read[1]["test_accuracy"] == 79.0


def test_an_experiment_is_named_and_its_runs_come_newest_first(ccompress, tmp_path, grid):
    rows = grid(methods=[], seeds=[0, 1])
    for row, second in zip(rows, "12", strict=True):
        row |= {"run_id": f"{second * 2}aa00000000", "created": f"2020-01-01T10:00:0{second}+00:00"}
    results.write_runs(tmp_path / "results" / "mine" / results.RUNS, rows)
    assert ids(lines(ccompress, "mine")) == ["22", "11"]
    assert lines(ccompress) == ["no runs yet"]
    done = ccompress("runs", "dif", "1", "2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = ccompress("runs", "dif")
    assert "experiments here: mine (did you mean runs diff?)" in done.stderr


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_table_is_no_wider_than_the_terminal(ccompress, folder, monkeypatch, width):
    monkeypatch.setattr(terminal, "width", lambda: width)
    output = lines(ccompress)
    table = output[: next(n for n, line in enumerate(output) if line.startswith("all: "))]
    assert max(map(len, table)) <= width
    assert "accuracy" in "".join(table)
    left_out = [line for line in output if line.startswith("no room for ")]
    assert bool(left_out) == (width < 200)
    if width == 80:
        assert "method" in "".join(table)
        assert table[-1].startswith("00aa000 ")


def test_a_pipe_has_no_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal.width() is None


def test_long_names_take_several_lines_and_numbers_are_right_aligned():
    columns = {"train.upper_rate": ["0.5", "0.25"], "name": ["a", "long name"]}
    text, gone = terminal.fitted(columns, None, ["name"])
    assert text == "train.\nupper_\n  rate  name\n   0.5  a\n  0.25  long name"
    assert gone == []
    assert terminal.fitted(columns, 10, ["name"]) == (
        "train.\nupper_\n  rate\n   0.5\n  0.25",
        ["name"],
    )


def test_long_cells_show_their_end():
    assert terminal.cut("a/" * 50 + "file.csv").endswith("a/file.csv")
    assert len(terminal.cut("x" * 99)) == 40


def test_diff_shows_settings_and_results_side_by_side_with_the_drop(ccompress, folder):
    done = ccompress("runs", "diff", "11", "22")
    assert done.returncode == 0, done.stderr
    words = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines() if line}
    assert words["method"][1:] == ["in_training_svd", "quantization"]
    assert words["test_accuracy"][1:] == ["82.00", "%", "80.50", "%", "-1.50"]
    assert words["drop"][1:] == ["1.00", "2.50", "+1.50"]  # from 00, the reference
    assert "dataset" not in words  # equal in both
    assert "standard error of test accuracy: 0.90, 0.93" in done.stdout


def test_diff_explains_why_there_is_no_drop(ccompress, folder):
    output = ccompress("runs", "diff", "11", str(folder / "results/runs/33aa00000000")).stdout
    assert re.search(r"(?m)^network.hidden +300 +50$", output)
    assert "33aa00000000: no drop: method=none was not run with its settings" in output
    output = ccompress("runs", "diff", "44", "00").stdout
    assert "44aa00000000 failed: Diverged: step 7" in output


def test_diff_refuses_runs_that_cannot_be_compared(ccompress, folder):
    (folder / "results/runs/44ff00000000").mkdir()
    for a, b, message in (
        ("11", "11aa", "11 and 11aa are the same run, 11aa00000000"),
        ("11", "55", "no run '55' in results/runs: `ccompress runs` lists them"),
        ("44", "11", "'44' is the beginning of 2 runs: 44aa00000000, 44ff00000000"),
        ("44ff", "11", "44ff00000000 has no complete result.json: the run is not finished"),
    ):
        done = ccompress("runs", "diff", a, b)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
