import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image
from small_model import LABELS, OPTIONS, store, words

from ccompress import cli
from ccompress.commands import evaluate
from ccompress.data.base import Columns
from ccompress.deployment import model
from ccompress.errors import InputError
from ccompress.report import lettering

pair = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(st.lists(pair, min_size=1))
def test_scores_of_a_class_are_the_counts_of_its_texts(pairs):
    true, guess = np.array(pairs).T
    matrix = evaluate.confusion(true, guess, 4)
    scores = evaluate.class_scores(matrix, list("abcd"))
    for i, row in scores.iterrows():
        right = sum(pair == (i, i) for pair in pairs)
        predicted = sum(label == i for _, label in pairs)
        texts = sum(label == i for label, _ in pairs)
        assert row["texts"] == texts
        for score, denominator in (("precision", predicted), ("recall", texts)):
            assert row[score] == right / denominator if denominator else math.isnan(row[score])
        if right:  # the harmonic mean
            assert row["f1"] == pytest.approx(2 / (1 / row["precision"] + 1 / row["recall"]))
        else:
            assert row["f1"] == 0 if texts + predicted else math.isnan(row["f1"])


def test_confusions_are_the_mistakes_most_frequent_first():
    matrix = np.array([[5, 2, 0], [3, 9, 0], [0, 2, 1]])
    assert evaluate.confusions(matrix, ["a", "b", "c"]).to_numpy().tolist() == [
        ["b", "a", 3],
        ["a", "b", 2],
        ["c", "b", 2],
    ]
    assert evaluate.confusions(np.eye(3, dtype=int), ["a", "b", "c"]).empty


def write(folder, rows, columns=("text", "label")):
    path = folder / "data.csv"
    lines = [",".join(columns), *(f"{text},{label}" for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


TEXTS = [f"w{i} w{i + 1}" for i in range(2, 32)]


def test_the_output_and_the_files_agree_with_the_predictions(tmp_path, capsys):
    path, _ = store(tmp_path / "run")
    guesses = model.load(path).probabilities(TEXTS).argmax(1).tolist()
    true = [i % 3 for i in range(len(TEXTS))]
    rows = [(text, LABELS[i]) for text, i in zip(TEXTS, true, strict=True)]
    data = write(tmp_path, rows, ("review", "stars"))
    columns = ["--text", "review", "--label", "stars"]
    arguments = ["evaluate", str(path), "--data", str(data), "--device", "cpu", *columns]
    assert cli.command(arguments) == 0
    accuracy = sum(a == b for a, b in zip(true, guesses, strict=True)) / len(true)
    shown = capsys.readouterr().out
    assert f"accuracy  {100 * accuracy:.2f} %  of 30 texts" in shown
    out = path.parent / "evaluation"
    square = pd.read_csv(out / "data.confusion.csv", index_col="class")
    expected = evaluate.confusion(np.array(true), np.array(guesses), 3)
    assert square.to_numpy().tolist() == expected.tolist()
    assert list(square.index) == list(square.columns) == LABELS
    assert list(pd.read_csv(out / "data.classes.csv")["texts"]) == [10, 10, 10]
    assert image.imread(out / "data.confusion.png").shape[0] > 100
    table = pd.read_csv(out / "data.predictions.csv")
    assert list(table["line"]) == list(range(2, 32))
    assert list(table["text"]) == TEXTS
    assert list(table["label"]) == [LABELS[i] for i in true]
    assert list(table["prediction"]) == [LABELS[i] for i in guesses]
    best = model.load(path).probabilities(TEXTS).amax(1).tolist()
    assert list(table["probability"]) == pytest.approx(best, abs=1e-6)


def test_texts_with_an_unknown_label_count_as_errors(tmp_path, capsys):
    path, _ = store(tmp_path / "run")
    guesses = model.load(path).predict(TEXTS)
    labels = [guess.label for guess in guesses]
    labels[:6] = ["superb"] * 4 + ["a, b"] * 2
    data = tmp_path / "data.csv"
    pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(data, index=False)
    assert cli.command(["evaluate", str(path), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "accuracy  80.00 %  of 30 texts" in shown
    assert "6 texts, counted as errors, have a label that the model does not know: " in shown
    assert "'superb' (4), 'a, b' (2)" in shown
    out = path.parent / "evaluation"
    square = pd.read_csv(out / "data.confusion.csv", index_col="class")
    assert list(square.index) == [*LABELS, evaluate.UNKNOWN]
    answers = [guess.label for guess in guesses[:6]]
    assert list(square.loc[evaluate.UNKNOWN]) == [*(answers.count(one) for one in LABELS), 0]
    # Precision counts these texts. The mean over classes has no class for their labels.
    scores = pd.read_csv(out / "data.classes.csv", index_col="label")
    for label in LABELS:
        predicted = [guess.label for guess in guesses].count(label)
        right = predicted - answers.count(label)
        expected = right / predicted if predicted else math.nan
        assert scores.loc[label, "precision"] == pytest.approx(expected, nan_ok=True)
    mean = 100 * scores.loc[LABELS, "f1"].mean()
    assert f"mean F1   {mean:.2f} %" in shown
    table = pd.read_csv(out / "data.predictions.csv")
    assert list(table["label"]) == labels


def test_a_picture_of_many_classes_has_room_for_their_names():
    labels = [f"class number {i}" for i in range(150)]
    figure = evaluate.draw(np.eye(150, dtype=int), labels)
    (axes,) = figure.axes[:1]
    inches = axes.get_position().height * figure.get_figheight()
    assert axes.get_yticklabels()[0].get_fontsize() / 72 < inches / 150


def test_labels_are_shown_literally_and_shortened(monkeypatch, tmp_path, capsys):
    labels = ["from $5 to $10", "$\\frac$", "two\nlines", "\U0001f9ec", "x" * 3000]
    drawn = {}
    save = lettering.save
    monkeypatch.setattr(
        lettering, "save", lambda figure, **kinds: drawn.update(f=figure) or save(figure, **kinds)
    )
    matrix = np.eye(5, dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = evaluate.class_scores(matrix, labels)
        evaluate._write(tmp_path, "data", matrix, scores, labels, pd.DataFrame())
    ticks = drawn["f"].axes[0].get_yticklabels()
    shown = ["from $5 to $10", "$\\frac$", "two lines", "\U0001f9ec", "x" * 39 + "…"]
    assert [tick.get_text() for tick in ticks] == shown
    assert not any(tick.get_parse_math() for tick in ticks)
    assert image.imread(tmp_path / "data.confusion.png").shape[0] < 2000
    assert "figures show boxes for 1 letter" in capsys.readouterr().err
    # The tables contain the complete labels.
    assert list(pd.read_csv(tmp_path / "data.classes.csv")["label"]) == labels


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("w3", "great"), ("w4", "superb")],
            "no label that the model knows: .*line 2 has 'great', .* bad, fair, good; --label",
        ),
        ([], "has no examples"),
    ],
)
def test_a_file_without_a_label_of_the_model_is_refused(tmp_path, rows, message):
    path, _ = store(tmp_path)
    with pytest.raises(InputError, match=message):
        evaluate.main([str(path), "--data", str(write(tmp_path, rows))])


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.jsonl", '{"text": "w2", "label": NaN}', "line 1: 'label' is the number NaN"),
        ("a.jsonl", '{"text": "w2", "label": ["x"]}', "line 1: 'label' is a list"),
        (
            "a.jsonl",
            r'{"text": "\udc00", "label": "x"}',
            "line 1: 'text' holds half of a surrogate",
        ),
        ("a.csv", "text,label,label\nw2,x,y\n", "line 2 has 2 columns named 'label'"),
        (
            "a.csv",
            f"text,label\nw2,{LABELS[0]}\n\nw3,\n,\nw4,\n",
            "has rows without a value in 'label' (lines 4, 6)",
        ),
    ],
)
def test_a_bad_line_is_named_as_in_training(tmp_path, capsys, name, contents, message):
    path, _ = store(tmp_path / "run")
    (tmp_path / name).write_text(contents, encoding="utf-8")
    assert cli.command(["evaluate", str(path), "--data", str(tmp_path / name)]) == 2
    assert f"{tmp_path / name} {message}" in capsys.readouterr().err


def test_the_delimiter_of_a_table_can_be_named(tmp_path, capsys):
    path, _ = store(tmp_path)
    file = tmp_path / "data.csv"
    file.write_text(f"n,x^text^label\n1,5^w3 w5^{LABELS[0]}\n", encoding="utf-8")
    assert cli.command(["evaluate", str(path), "--data", str(file), "--delimiter", "^"]) == 0
    assert "of 1 texts" in capsys.readouterr().out


def test_texts_without_words_are_errors_counted(tmp_path, capsys):
    path, _ = store(tmp_path)
    small = model.load(path)
    labels = [guess.label for guess in small.predict(TEXTS)]
    data = tmp_path / "data.csv"
    texts = ["" if i in (3, 7) else text for i, text in enumerate(TEXTS)]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(data, index=False)
    assert cli.command(["evaluate", str(path), "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert f"accuracy  {100 * 28 / 30:.2f} %  of 30 texts" in printed
    assert "no words  2 texts, counted as errors, have no words: lines 5, 9" in printed
    square = pd.read_csv(tmp_path / "evaluation" / "data.confusion.csv", index_col="class")
    assert square[evaluate.NO_WORDS].sum() == 2
    table = pd.read_csv(tmp_path / "evaluation" / "data.predictions.csv")
    assert table["prediction"].isna().to_numpy().nonzero()[0].tolist() == [3, 7]


def test_the_columns_are_those_of_training(tmp_path, capsys):
    path, net = store(tmp_path)
    config, columns = {"network": OPTIONS["dan"]}, Columns("review", "stars")
    model.save(path, model.Model(net, words(40), LABELS, "whitespace", config, columns))
    rows = [(text, LABELS[0]) for text in TEXTS]
    data = write(tmp_path, rows, ("review", "stars"))
    assert cli.command(["evaluate", str(path), "--data", str(data)]) == 0
    capsys.readouterr()
    assert cli.command(["predict", str(path), str(data)]) == 0
    answers = capsys.readouterr().out.splitlines()
    assert [answer.split("\t")[2] for answer in answers] == TEXTS
    other = write(tmp_path, rows, ("body", "stars"))
    assert cli.command(["evaluate", str(path), "--data", str(other)]) == 2
    assert "no column 'review', only 'body', 'stars'" in capsys.readouterr().err
    assert cli.command(["evaluate", str(path), "--data", str(other), "--text", "body"]) == 0


def test_of_many_classes_the_figures_of_each_are_printed_on_request(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "_FEW", 2)
    path, _ = store(tmp_path)
    guesses = [guess.label for guess in model.load(path).predict(TEXTS)]
    labels = [LABELS[(LABELS.index(guess) + (i == 0)) % 3] for i, guess in enumerate(guesses)]
    data = write(tmp_path, zip(TEXTS, labels, strict=True))
    arguments = ["evaluate", str(path), "--data", str(data)]
    assert cli.command(arguments) == 0
    short = capsys.readouterr().out
    assert "precision" not in short
    assert "--classes prints all 3" in short
    assert f"mistakes  {labels[0]!r} taken for {guesses[0]!r} (1)" in short.splitlines()[3]
    assert cli.command([*arguments, "--classes"]) == 0
    whole = capsys.readouterr().out
    assert whole.splitlines()[:2] == short.splitlines()[:2]
    assert "precision" in whole
    assert "confusion matrix" in whole


def test_one_label_for_every_text_is_reported(tmp_path, capsys):
    path, _ = store(tmp_path)
    guess = model.load(path).predict(["w3 w4"])[0].label
    other = next(label for label in LABELS if label != guess)
    data = write(tmp_path, [("w3 w4", guess), ("w4 w3", other)])
    assert cli.command(["evaluate", str(path), "--data", str(data)]) == 0
    assert f"warning   the model predicts {guess!r} for every text" in capsys.readouterr().out
    data = write(tmp_path, [("w3 w4", guess), ("w4 w3", guess)])  # which is right
    assert cli.command(["evaluate", str(path), "--data", str(data)]) == 0
    assert "warning" not in capsys.readouterr().out
