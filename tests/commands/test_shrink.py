"""`ccompress shrink` makes a small model from a user's file."""

import csv
import dataclasses
import gzip
import importlib.util
import random
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from ccompress import cli
from ccompress.baselines import tfidf
from ccompress.commands import shrink as command
from ccompress.data import columns
from ccompress.data.base import Examples
from ccompress.errors import Diverged
from ccompress.experiment import candidates, results, shrink
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
    monkeypatch.setattr(tfidf, "FEATURES", (20,))
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
    drop = f"{chosen['test_accuracy']:.1f} % on test (drop {chosen['test_drop']:+.1f} points)"
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
        return dict(task.candidates(task.load(), 4)[-1].options)

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


def test_the_smallest_within_the_drop_on_dev_is_chosen_whatever_test_says():
    def chosen(within, *more):
        rows = [("none", 900, 90.0), ("a", 100, 88.9), ("b", 200, 89.0), ("c", 300, 95.0), *more]
        names, sizes, accuracies = zip(*rows, strict=True)
        table = pd.DataFrame({"file_bytes": sizes, "dev_accuracy": accuracies}, names)
        return shrink.smallest(table, 90.0, within)

    assert chosen(1.0) == "b"
    assert chosen(1.0, ("d", 50, 88.96)) == "d"  # 1.0 as shown
    assert chosen(2.0) == "a"
    assert chosen(1.0, ("d", 200, 92.0)) == "d"


@pytest.mark.parametrize(
    ("accuracies", "learnt_at", "texts", "epochs"),
    [
        ({30: 69.0, 60: 85.0, 120: 85.9}, 0, 600, 60),  # not a point better
        ({30: 69.0, 60: 85.0, 120: 86.0}, 0, 600, 120),  # 240 epochs take more than 5,000 steps
        ({30: 12.0, 60: 12.0, 120: 60.0}, 120, 600, 120),  # nothing is learnt before
        ({30: 90.0, 60: 90.5}, 0, 600, 30),
        ({15: 90.0, 30: 99.0, 60: 99.0}, 0, 2500, 30),  # batches of 64
        ({30: 99.0}, 0, 1999, 30),  # 60 epochs of 125 steps would be too many
    ],
)
def test_the_reference_trains_twice_as_long_while_that_is_better(
    folder, monkeypatch, accuracies, learnt_at, texts, epochs
):
    lines = ["text,label", *(f"{text},{label}" for text, label in rows())]
    (folder / "a.csv").write_text("\n".join(lines), "utf-8")
    task = shrink.Task(Path("a.csv"), columns.Columns("text", "label"))
    splits = task.load()
    train = splits.train
    many = Examples((train.tokens * texts)[:texts], (train.labels * texts)[:texts])
    trained = []

    def result(candidate):
        trained.append(candidate.settings.epochs)
        return accuracies[trained[-1]], trained[-1] >= learnt_at

    monkeypatch.setattr(shrink, "_trained", result)
    said = []
    assert task.epochs(dataclasses.replace(splits, train=many), said.append) == epochs
    assert trained == list(accuracies)
    assert said[0] == f"the reference after {trained[0]} epochs: dev {accuracies[trained[0]]} %"
    own = dataclasses.replace(task, options=["train.epochs=7"])
    assert own.epochs(splits, said.append) == 7
    assert trained == list(accuracies)


def test_the_reference_knows_how_far_it_has_learnt(folder):
    lines = ["text,label", *(f"{text},{label}" for text, label in rows())]
    (folder / "a.csv").write_text("\n".join(lines), "utf-8")
    found = {}
    for epochs in (1, 30):
        options = [*SHORT[1:], f"train.epochs={epochs}"]
        task = shrink.Task(Path("a.csv"), columns.Columns("text", "label"), None, options)
        candidate = task.reference(task.load())
        for _ in range(2):  # trained, and finished before
            found[epochs] = shrink._trained(candidate)
            row = results.read_result(candidate.settings.folder)
            assert found[epochs][0] == row["dev_accuracy"]
    assert [learnt for _, learnt in found.values()] == [False, True]


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


@pytest.mark.parametrize(
    ("linear", "bar", "chosen"),
    [
        (99.0, r"the best linear model on dev, which is \d\d?\.\d points above the ref", "linear"),
        (0.0, "the reference on dev", "network"),
    ],
)
def test_the_linear_model_is_the_one_where_it_is_better(
    folder, capsys, monkeypatch, linear, bar, chosen
):
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    monkeypatch.setattr(tfidf, "accuracy", lambda *_: linear)
    (folder / "a.csv").write_text("\n".join(["satz,klasse", *map(",".join, rows())]), "utf-8")
    assert cli.command(["shrink", "a.csv", *SHORT, "train.epochs=2"]) == 0
    said = capsys.readouterr().out
    assert re.search(f"-> is the smallest within 1 of {bar}", said)
    assert ("drops from this reference say little" in said) == (chosen == "linear")
    assert ("a linear model is not exported" in said) == (chosen == "linear")
    (best,) = models(folder, "a").query("chosen").to_dict("records")
    assert (best["method"] == command.BASELINE) == (chosen == "linear")
    predict, export = printed_commands(said)
    assert Path(predict[1]).is_file() == (chosen == "linear")
    if chosen == "linear":
        assert Path(predict[1]).stat().st_size == best["file_bytes"]
    assert cli.command(predict) == 0  # which finds the column by itself
    answers = capsys.readouterr().out.splitlines()
    assert [answer.split("\t")[2] for answer in answers] == [text for text, _ in rows()]
    assert cli.command(export) == 0


def test_one_class_for_every_text_is_said(folder, capsys):
    (folder / "a.csv").write_text("\n".join(["text,label", *map(",".join, rows())]), "utf-8")
    blind = ["train.epochs=2", "train.upper.calr=1e-9"]
    assert cli.command(["shrink", "a.csv", *SHORT, *blind]) == 0
    said = capsys.readouterr().out
    assert "warning: one class is predicted for every text of test by none; quantiz" in said
    run = ["dataset=custom", "dataset.train=a.csv", "vectors=random", "reference=skip", *SHORT]
    assert cli.command([*run, *blind, "method=none"]) == 0
    said = capsys.readouterr().out
    assert re.search("^  warning +it predicts '.*' for every text of test$", said, re.M)


def test_no_time_is_estimated_before_something_has_trained(capsys):
    with candidates.progress([0, 9], quiet=False) as (on_epoch, on_run):
        on_run("none: dev 90.0 %")
        assert capsys.readouterr().out == "[1/2] none: dev 90.0 %\n"
        for _ in range(9):
            on_epoch(None)
        on_run("quantization: dev 89.0 %")
    assert "[2/2] quantization: dev 89.0 %; about 0 s left" in capsys.readouterr().out
