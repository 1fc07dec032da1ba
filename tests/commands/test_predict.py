import csv
import io
import itertools
import json
import re
import sys
from pathlib import Path

import pytest
import tiny_data
from hypothesis import given
from hypothesis import strategies as st
from small_model import store

from ccompress import cli
from ccompress.commands import predict
from ccompress.deployment import model
from ccompress.errors import InputError


class Pieces(io.BytesIO):
    """A stream that returns its bytes in the given pieces, like a slow pipe."""

    def __init__(self, pieces):
        super().__init__()
        self.pieces = [piece for piece in pieces if piece]

    def read1(self, size=-1):
        return self.pieces.pop(0) if self.pieces else b""


line = st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"))


@given(st.lists(line, max_size=6), st.lists(st.integers(0, 40), max_size=5), st.booleans())
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines, cuts, closed):
    contents = "\n".join(lines).encode() + b"\n" * (closed and bool(lines))
    places = [0, *sorted(min(cut, len(contents)) for cut in cuts), len(contents)]
    pieces = [contents[a:b] for a, b in itertools.pairwise(places)]
    expected = contents.decode().split("\n")
    if expected[-1] == "":
        expected.pop()  # after a final newline there is no further line
    read = [text for block in predict.blocks(Pieces(pieces), "x") for text in block]
    assert read == expected


def test_no_line_waits_for_a_later_one():
    stream = Pieces([b"one\ntw", b"o\n", b"three"])
    blocks = predict.blocks(stream, "x")
    assert next(blocks) == ["one"]
    assert stream.pieces == [b"o\n", b"three"]
    assert next(blocks) == ["two"]
    assert list(blocks)[-1] == ["three"]


def test_byte_order_marks_and_line_ends_of_windows_are_not_part_of_a_text():
    read = predict.blocks(io.BytesIO("\ufeffone\r\ntwo\r\n".encode()), "x")
    assert list(read) == [["one", "two"]]


def test_a_line_that_is_not_utf_8_is_named():
    blocks = predict.blocks(io.BytesIO(b"one\ntwo\nthr\xe9\xe9\nfour\n"), "notes.txt")
    assert next(blocks) == ["one", "two"]  # the lines before it are answered
    with pytest.raises(InputError, match=r"notes\.txt line 3 is not UTF-8"):
        next(blocks)


@pytest.fixture
def answers(tmp_path, monkeypatch, capsys, device):
    """The output of `ccompress predict` for these bytes on standard input."""
    path, _ = store(tmp_path)

    def ask(contents, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(contents)))
        assert cli.command(["predict", str(path), *arguments, "--device", str(device)]) == 0
        return capsys.readouterr().out

    ask.model = model.load(path)
    return ask


TEXTS = ["w3 w5", "", 'w9, "quoted"\tand über', "w30"]


def test_every_format_shows_the_same_answers(answers, tmp_path):
    contents = "\n".join(TEXTS).encode()
    probabilities, labels = answers.model.probabilities(TEXTS).max(1)
    expected = [
        (answers.model.labels[i], pytest.approx(p, abs=1e-6), text)
        for i, p, text in zip(labels.tolist(), probabilities.tolist(), TEXTS, strict=True)
    ]
    expected[1] = (None, None, "")  # a text without words
    table = list(csv.reader(io.StringIO(answers(contents, "--format", "csv"))))
    assert table[0] == ["label", "probability", "text"]
    assert [(a or None, float(p) if p else None, text) for a, p, text in table[1:]] == expected
    objects = [json.loads(row) for row in answers(contents, "--format", "jsonl").splitlines()]
    assert [(row["label"], row["probability"], row["text"]) for row in objects] == expected
    text = [row.split("\t", 2) for row in answers(contents).splitlines()]
    assert [row[::2] for row in text] == [[label or "", text] for label, _, text in expected]

    file = tmp_path / "sentences.txt"
    file.write_bytes(contents)
    assert answers(b"", str(file)) == answers(contents)
    assert answers(b"") == ""


def test_top_shows_the_most_probable_labels(answers):
    text, empty = "w3 w5", " \t "
    contents = f"{text}\n{empty}\n".encode()
    probabilities = answers.model.probabilities([text])[0].tolist()
    best = sorted(zip(probabilities, answers.model.labels, strict=True), reverse=True)
    words = [word for p, label in best[:2] for word in (label, f"{p:.6f}")]
    table = csv.reader(io.StringIO(answers(contents, "--top", "2", "--format", "csv")))
    header = ["label", "probability", "label_2", "probability_2", "text"]
    assert list(table) == [header, [*words, text], ["", "", "", "", empty]]
    objects = answers(contents, "--top", "2", "--format", "jsonl").splitlines()
    first, second = map(json.loads, objects)
    expected = [{"label": label, "probability": pytest.approx(p)} for p, label in best[:2]]
    assert first == {**expected[0], "top": expected, "text": text}
    assert second == {"label": None, "probability": None, "top": [], "text": empty}
    ((first, second)) = answers(contents, "--top", "9").splitlines()
    assert first.split("\t")[::2] == [*(label for _, label in best), text]
    assert second == "\t" * 6 + empty


TABLES = {
    "a.csv": 'n,review\n1,"w3, ""w5""\nw7"\n2,\n3,w9\n',
    "a.tsv": 'n\treview\n1\tw3 "w5\n2\t\n3\tw9\n',
    "a.JSONL": '{"review": "w3"}\n\n{"review": null}\n{"n": 1, "review": 7}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_texts_are_a_column_of_a_table(answers, tmp_path, monkeypatch, name):
    file = tmp_path / name
    file.write_text(TABLES[name], encoding="utf-8")
    texts = {
        "a.csv": ['w3, "w5"\nw7', "", "w9"],
        "a.tsv": ['w3 "w5', "", "w9"],
        "a.JSONL": ["w3", "", "7"],
    }[name]
    monkeypatch.setattr(predict, "_ROWS", 2)  # more rows than are answered at a time
    shown = answers(b"", str(file), "--column", "review", "--format", "jsonl")
    objects = [json.loads(line) for line in shown.splitlines()]
    assert [row["text"] for row in objects] == texts
    labels = [answers.model.predict([text])[0].label for text in texts]
    assert [row["label"] for row in objects] == labels
    # The text format has one line for each text too. The default name of the column is "text".
    file.write_text(TABLES[name].replace("review", "text"), encoding="utf-8")
    assert len(answers(b"", str(file)).splitlines()) == len(texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no run 'nothing' in"),
        (["{model}", "missing.txt", "--device", "cpu"], "cannot read missing.txt"),
        (["{model}", "--device", "gpu"], "device=gpu: it must be one of auto, cpu, cuda"),
        (["{model}", "missing.csv"], "cannot read missing.csv"),
        (
            ["{model}", "{model}", "--column", "x"],
            "--column x: .* is read as a text a line; .*.csv",
        ),
        (["{model}", "--column", "x"], "--column x: standard input is read as a text a line"),
        (["{model}", "--top", "0"], "--top 0: give at least 1"),
        (
            ["{model}", "{table}"],
            "a.csv line 2 has no column 'text', only 'n', 'review'; .* with --column=",
        ),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(tmp_path, capsys, arguments, message):
    path, _ = store(tmp_path)
    table = tmp_path / "a.csv"
    table.write_text(TABLES["a.csv"], encoding="utf-8")
    words = [word.format(model=path, table=table) for word in arguments]
    assert cli.command(["predict", *words]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


def test_a_closed_standard_input_is_an_error(tmp_path, capsys, monkeypatch):
    path, _ = store(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.command(["predict", str(path)]) == 2
    assert capsys.readouterr().err == (
        "ccompress: standard input is closed: give a file of sentences\n"
    )


def test_a_run_predicts_and_evaluates_as_it_was_tested(
    ccompress, tmp_path, monkeypatch, capsys, device
):
    """After training, the verbs give the same labels as predictions.csv."""
    tiny = tiny_data.write(tmp_path / "data")
    assert ccompress(*tiny, "rate=0.7", f"device={device}").returncode == 0
    monkeypatch.chdir(tmp_path)
    (folder,) = (path for path in Path("results/runs").glob("[!.]*"))
    texts = [row["text"] for row in rows(Path("data/test.csv").read_text(encoding="utf-8"))]
    Path("texts.txt").write_text("\n".join(texts), encoding="utf-8")
    options = ["--device", str(device)]
    assert cli.command(["predict", folder.name[:5], "texts.txt", "--format", "csv", *options]) == 0
    tested = rows((folder / "predictions.csv").read_text(encoding="utf-8"))
    guessed = rows(capsys.readouterr().out)
    assert [row["label"] for row in guessed] == [row["prediction"] for row in tested]

    accuracy = json.loads((folder / "result.json").read_text(encoding="utf-8"))["test_accuracy"]
    assert cli.command(["evaluate", folder.name[:5], "--data", "data/test.csv", *options]) == 0
    shown = capsys.readouterr().out
    assert f"accuracy  {accuracy:.2f} %  of {len(texts)} texts" in shown
    assert (folder / "evaluation" / "test.confusion.png").is_file()


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", predict.FORMATS)
def test_line_breaks_in_labels_and_texts_do_not_break_lines(name):
    label = "very\tgood\nindeed"
    rendered = predict.FORMATS[name]([predict.Answer("so\r\nit\nis", {label: 0.5})], 1)
    if name == "jsonl":
        assert json.loads(rendered)["label"] == label
        return
    dialect = csv.excel if name == "csv" else csv.excel_tab
    ((label, _, text),) = csv.reader(io.StringIO(rendered, newline=""), dialect)
    assert label.split() == ["very", "good", "indeed"]
    assert text.split() == ["so", "it", "is"]


def test_the_delimiter_of_a_table_can_be_named(answers, tmp_path, capsys):
    file = tmp_path / "a.csv"
    file.write_text("n,x^text\n1,5^w3 w5\n2,5^w9\n", encoding="utf-8")
    lines = answers(b"", str(file), "--delimiter", "^").splitlines()
    assert [row.split("\t")[2] for row in lines] == ["w3 w5", "w9"]
    assert cli.command(["predict", str(tmp_path), str(file), "--delimiter", "ab"]) == 2
    assert "--delimiter='ab': it is one character" in capsys.readouterr().err
