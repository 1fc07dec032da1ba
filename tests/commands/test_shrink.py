"""`ccompress shrink` makes a small model from a user's file."""

import csv
import gzip
import importlib.util
import random
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from ccompress import cli
from ccompress.commands import shrink as command
from ccompress.data import columns
from ccompress.errors import Diverged
from ccompress.experiment import results, shrink
from ccompress.methods.quantization import Quantization


def rows(count: int = 120) -> list[tuple[str, str]]:
    draw = random.Random(0)
    words = {"Störung": "kaputt defekt Fehler", "Lob": "schön gut Danke", "Frage": "wann wo wie"}
    return [
        (" ".join([*draw.choices(vocabulary.split(), k=3), f"Gerät{draw.randrange(40)}"]), label)
        for label, vocabulary in draw.choices(list(words.items()), k=count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder. The sweep has few runs."""
    monkeypatch.chdir(tmp_path)
    few = {"none": ("0",), "quantization": ("0.75",), "in_training_svd_int8": ("0.9", "0.9999")}
    monkeypatch.setattr(shrink, "SWEEP", few)
    smaller = {"rest": "int8", "network.layers": 1, "network.hidden": 4, "vocab.max_size": 20}
    monkeypatch.setattr(shrink, "SMALLER", (smaller,))
    monkeypatch.setattr(shrink, "SWEEP_OF_SMALLER", {"in_training_svd_int8": ("0.9",)})
    monkeypatch.setattr(command.tfidf, "FEATURES", (20,))
    return tmp_path


SHORT = ["train.epochs=4", "network.hidden=8", "threads=1"]


def models(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "shrink" / name / "models.csv")


def printed_commands(output: str) -> list[list[str]]:
    """The commands that are printed after "this one", without the name of the program."""
    lines = output.partition("this one")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("  ccompress ")]


def test_a_spreadsheet_becomes_a_model_that_predicts(folder, capsys):
    lines = ["sep=;", "Nr;Anfrage;Kategorie"]
    lines += [f'{i};"{text}";{label}' for i, (text, label) in enumerate(rows())]
    (folder / "anfragen.csv").write_text("\r\n".join(lines), "utf-8-sig")
    assert cli.command(["shrink", "anfragen.csv", *SHORT]) == 0
    output = capsys.readouterr().out
    assert cli.command(["shrink", "anfragen.csv", "--quiet", *SHORT]) == 0
    assert "[3/4]" not in capsys.readouterr().out
    assert "texts in 'Anfrage', labels in 'Kategorie'" in output
    assert "120 texts, 3 classes" in output
    assert "[3/4] in_training_svd_int8 0.9: dev" in output  # a rate without a rank is no candidate
    assert "[4/4] in_training_svd_int8 0.9 rest=int8 layers=1 max_size=20: dev" in output
    assert re.search(r"^4 runs, 10 epochs: about \d+ s$", output, re.MULTILINE)
    out = folder / "results" / "shrink" / "anfragen"
    assert {"runs.csv", "models.csv", "sizes.png", "sizes.svg"} <= {p.name for p in out.iterdir()}
    table = models(folder, "anfragen")
    assert table["file_bytes"].is_monotonic_increasing
    assert {*table["method"]} == {*shrink.SWEEP, command.BASELINE}
    reference = table[table["method"] == "none"].iloc[0]
    for split in ("dev", "test"):
        drops = reference[f"{split}_accuracy"] - table[f"{split}_accuracy"]
        assert table[f"{split}_drop"].to_numpy() == pytest.approx(drops.to_numpy())
    (chosen,) = table[table["chosen"]].to_dict("records")
    drop = f"drop {chosen['test_drop']:+.1f} points on test"
    assert f"this one: {results.size(chosen['file_bytes'])}, {drop}; predict with\n" in output
    error = results.sampling_error(reference["test_accuracy"], 24)
    assert re.search(
        rf"none .* {reference['test_accuracy']:.1f} % +{error:.1f} +\+0\.0$", output, re.M
    )


def test_the_printed_commands_work_without_changes(folder, capsys):
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    lines = ["Nr,x^die Anfrage^Kategorie"]
    lines += [f"{i},5^{text}^{label}" for i, (text, label) in enumerate(rows())]
    (folder / "alle Anfragen.csv").write_text("\n".join(lines), "utf-8")
    arguments = ["shrink", "alle Anfragen.csv", 'dataset.delimiter="^"', *SHORT]
    assert cli.command(arguments) == 0
    predict, export = printed_commands(capsys.readouterr().out)
    assert cli.command(predict) == 0
    answers = capsys.readouterr().out.splitlines()
    assert [answer.split("\t")[2] for answer in answers] == [text for text, _ in rows()]
    assert {answer.split("\t")[0] for answer in answers} <= {"Störung", "Lob", "Frage"}
    assert cli.command(export) == 0
    assert "predict.py" in capsys.readouterr().out


def test_a_run_that_fails_is_shown_and_does_not_stop_the_others(folder, capsys, monkeypatch):
    (folder / "a.csv").write_text("\n".join(["text,label", *map(",".join, rows())]), "utf-8")

    def fail(*_):
        raise Diverged("the loss was nan")

    monkeypatch.setattr(Quantization, "compress", fail)
    assert cli.command(["shrink", "a.csv", *SHORT]) == 0
    output = capsys.readouterr().out
    assert "[2/4] quantization 0.75: failed: Diverged: the loss was nan" in output
    assert "\nfailed: quantization 0.75: Diverged: the loss was nan\n" in output
    assert {*models(folder, "a")["method"]} == {*shrink.SWEEP, command.BASELINE} - {"quantization"}
    assert "this one" in output


def test_a_failed_reference_is_an_error(folder, capsys):
    (folder / "a.csv").write_text("\n".join(["text,label", *map(",".join, rows())]), "utf-8")
    assert cli.command(["shrink", "a.csv", *SHORT, "train.upper.calr=1e30"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none, which the others are compared with, failed: Diverged: the loss was" in line


def test_smaller_networks_do_not_change_the_options_of_the_user(folder):
    (folder / "a.csv").write_text("\n".join(["text,label", *map(",".join, rows())]), "utf-8")

    def smaller(*options):
        task = shrink.Task(Path("a.csv"), columns.Columns("text", "label"), None, options)
        return dict(task.candidates(task.load())[-1].smaller)

    smallest = {"rest": "int8", "network.layers": 1, "network.hidden": 4, "vocab.max_size": 20}
    assert smaller() == smallest
    lstm = {key: value for key, value in smallest.items() if key != "network.layers"}
    assert smaller("network=lstm") == lstm  # the LSTM has no option for layers
    fixed = smaller("network.hidden=7", "rest=int4", "vocab.max_size=15")
    assert fixed == {"network.layers": 1}


def test_a_compressed_test_file_and_a_named_column(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        command, "find_spec", lambda name, *rest: name != "sklearn" and find(name, *rest)
    )
    for name, chosen in (("a.csv.gz", rows()), ("b.csv.gz", rows()[:30])):
        with gzip.open(folder / name, "wt", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "y's name"), *chosen])
    arguments = ["shrink", "a.csv.gz", "--label", "y's name", "--test", "b.csv.gz", *SHORT]
    assert cli.command(arguments) == 0
    output = capsys.readouterr().out
    assert "30 test" in output
    assert re.search(r"\d+ of 30 texts of test are in train too", output)
    assert "split by class: a tenth of each is dev" in output
    assert "no linear baseline: it needs scikit-learn" in output
    assert cli.command(arguments) == 0  # all runs are finished, and the output is the same
    assert capsys.readouterr().out.partition("this one")[2] == output.partition("this one")[2]


def test_the_smallest_within_the_drop_on_dev_is_chosen():
    def row(run_id, file_bytes, dev):
        kept = {"run_id": run_id, "file_bytes": file_bytes, "dev_accuracy": dev}
        return kept | {"status": "failed" if dev is None else "done"}

    table = [row("none", 900, 90.0), row("a", 100, 88.9), row("b", 200, 89.0), row("c", 300, 95.0)]
    assert shrink.smallest(table, 1.0)["run_id"] == "b"
    assert shrink.smallest([*table, row("d", 50, 88.96)], 1.0)["run_id"] == "d"  # rounded to 1.0
    assert shrink.smallest(table, 2.0)["run_id"] == "a"
    assert shrink.smallest([*table, row("d", 200, 92.0)], 1.0)["run_id"] == "d"
    assert shrink.smallest([row("none", 900, 90.0), row("a", 100, 80.0)], 1.0)["run_id"] == "none"
    assert shrink.smallest([*table, row("d", None, None)], 1.0)["run_id"] == "b"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.csv"], "cannot read none.csv"),
        (["a.csv", "--within", "-1"], "--within -1.0: give a number of points"),
        (["a.csv", "method=none"], "method=none: shrink chooses it itself"),
        (["a.csv", "network.hiden=3"], "hiden"),
    ],
)
def test_bad_input_gives_an_error_of_one_line(folder, capsys, arguments, complaint):
    lines = ["text,label", *(f"{text},{label}" for text, label in rows())]
    (folder / "a.csv").write_text("\n".join(lines), "utf-8")
    assert cli.command(["shrink", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def sizes(reference: float, linear: float) -> pd.DataFrame:
    """The table of a baseline, a compressed model, which is chosen, and the reference."""
    names = ("method", "model", "file_bytes", "dev_accuracy", "test_accuracy")
    table = pd.DataFrame(
        [
            (command.BASELINE, f"{command.BASELINE}, 80 features", 4200, linear, linear),
            ("quantization", "quantization 0.9", 118_000, reference - 1, reference - 1),
            ("none", "none", 173_000, reference, reference),
        ],
        columns=names,
    )
    drops = {"dev_drop": reference - table["dev_accuracy"], "chosen": [False, True, False]}
    return table.assign(**drops, test_drop=0.0)


@pytest.mark.parametrize(
    ("reference", "linear", "output", "warned"),
    [
        (69.1, 100.0, "is 31.9 points better on dev in 4.2 kB", "30.9 points under the linear"),
        (90.0, 89.0, "is as good on dev in 4.2 kB", None),
        (90.0, 70.0, None, None),
    ],
)
def test_a_better_linear_model_and_a_reference_that_learnt_too_little_are_reported(
    capsys, reference, linear, output, warned
):
    command._conclude(sizes(reference, linear), 100, 1.0)
    printed = " ".join(capsys.readouterr().out.split())
    assert (output or "points better") in printed if output else "on dev in" not in printed
    assert (warned in printed) if warned else ("has learnt too little" not in printed)
