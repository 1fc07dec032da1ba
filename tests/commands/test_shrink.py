"""From a file of one's own to the small model."""

import csv
import gzip
import importlib.util
import random
import re
from pathlib import Path

import pandas as pd
import pytest

from ccompress import cli
from ccompress.commands import shrink as command
from ccompress.experiment import shrink
from ccompress.report import tables


def rows(count: int = 120) -> list[tuple[str, str]]:
    draw = random.Random(0)
    words = {"Störung": "kaputt defekt Fehler", "Lob": "schön gut Danke", "Frage": "wann wo wie"}
    return [
        (" ".join([*draw.choices(vocabulary.split(), k=3), f"Gerät{draw.randrange(40)}"]), label)
        for label, vocabulary in draw.choices(list(words.items()), k=count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a sweep of few runs."""
    monkeypatch.chdir(tmp_path)
    few = {"none": ("0",), "quantization": ("0.75",), "in_training_svd_int8": ("0.9", "0.9999")}
    monkeypatch.setattr(shrink, "SWEEP", few)
    monkeypatch.setattr(command.tfidf, "FEATURES", (20,))
    return tmp_path


SHORT = ["train.epochs=4", "network.hidden=8", "threads=1"]


def test_a_spreadsheet_becomes_a_model_that_predicts(folder, capsys):
    lines = ["sep=;", "Nr;Anfrage;Kategorie"]
    lines += [f'{i};"{text}";{label}' for i, (text, label) in enumerate(rows())]
    (folder / "anfragen.csv").write_text("\r\n".join(lines), "utf-8-sig")
    assert cli.command(["shrink", "anfragen.csv", *SHORT]) == 0
    said = capsys.readouterr().out
    assert cli.command(["shrink", "anfragen.csv", "--quiet", *SHORT]) == 0
    assert "[3/3]" not in capsys.readouterr().out
    assert "texts in 'Anfrage', labels in 'Kategorie'" in said
    assert "120 texts, 3 classes" in said
    assert "[3/3] in_training_svd_int8 0.9" in said  # a rate that leaves no rank is no candidate
    out = folder / "results" / "shrink" / "anfragen"
    assert {"runs.csv", "models.csv", "sizes.png", "sizes.svg"} <= {p.name for p in out.iterdir()}
    models = pd.read_csv(out / "models.csv")
    assert models["file_bytes"].is_monotonic_increasing
    assert {*models["method"]} == {*shrink.SWEEP, command.BASELINE}
    whole = models[models["method"] == "none"].iloc[0]
    assert models["drop"].to_numpy() == pytest.approx(
        (whole["test_accuracy"] - models["test_accuracy"]).to_numpy()
    )
    (chosen,) = models[models["chosen"]].to_dict("records")
    assert f"this one: {chosen['model']}, {tables.size(chosen['file_bytes'])}" in said
    run = re.search(r"ccompress predict (\S+)", said).group(1)
    (folder / "texts.txt").write_text("Gerät1 kaputt\n", "utf-8")
    assert cli.command(["predict", run, "texts.txt"]) == 0
    assert capsys.readouterr().out.split("\t")[0] in ("Störung", "Lob", "Frage")


def test_a_test_file_and_a_form_of_its_own(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: name != "sklearn" and find(name, *rest)
    )
    for name, chosen in (("a.csv.gz", rows()), ("b.csv.gz", rows()[:30])):
        with gzip.open(folder / name, "wt", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "y's name"), *chosen])
    arguments = ["shrink", "a.csv.gz", "--label", "y's name", "--test", "b.csv.gz", *SHORT]
    assert cli.command(arguments) == 0
    said = capsys.readouterr().out
    assert "30 test" in said
    assert re.search(r"\d+ of 30 texts of test are in train too", said)
    assert "split by class: a tenth of each is dev" in said
    assert "no linear baseline: it needs scikit-learn" in said
    assert cli.command(arguments) == 0  # finished: the same again
    assert capsys.readouterr().out.partition("this one")[2] == said.partition("this one")[2]


def test_the_smallest_within_the_drop_on_dev_is_chosen_whatever_test_says():
    def row(run_id, file_bytes, dev):
        return {"run_id": run_id, "file_bytes": file_bytes, "dev_accuracy": dev}

    table = [row("none", 900, 90.0), row("a", 100, 88.9), row("b", 200, 89.0), row("c", 300, 95.0)]
    assert shrink.smallest(table, 1.0)["run_id"] == "b"
    assert shrink.smallest(table, 2.0)["run_id"] == "a"
    assert shrink.smallest([*table, row("d", 200, 92.0)], 1.0)["run_id"] == "d"
    assert shrink.smallest([row("none", 900, 90.0), row("a", 100, 80.0)], 1.0)["run_id"] == "none"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.csv"], "cannot read none.csv"),
        (["a.csv", "--within", "-1"], "--within -1.0: give a number of points"),
        (["a.csv", "method=none"], "method=none: shrink chooses it itself"),
        (["a.csv", "network.hiden=3"], "hiden"),
    ],
)
def test_what_is_wrong_is_one_line(folder, capsys, arguments, complaint):
    lines = ["text,label", *(f"{text},{label}" for text, label in rows())]
    (folder / "a.csv").write_text("\n".join(lines), "utf-8")
    assert cli.command(["shrink", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
