"""The linear baseline, which has no embeddings."""

import csv
import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import tiny_data
import torch

import ccompress
from ccompress import cli, storage
from ccompress.data.base import Columns, Examples, Splits
from ccompress.errors import InputError
from ccompress.report import linear_baseline

pytest.importorskip("sklearn", reason="needs the extra [baseline]")

from ccompress.baselines import tfidf

LABELS = ["bad", "fair", "good"]

make = functools.partial(
    tfidf.LinearModel, labels=LABELS, tokenizer="whitespace", columns=Columns("body", "team")
)


def examples(count, seed):
    """Texts whose class follows from a pair of words and not from single words."""
    rng = np.random.default_rng(seed)
    tokens, labels = [], []
    for _ in range(count):
        label = int(rng.integers(3))
        noise = [f"w{i}" for i in rng.integers(0, 30, 5)]
        pair = ["not", "bad"] if label == 2 else ["bad", "not"] if label == 0 else ["so", "so"]
        tokens.append([*noise[:2], *pair, *noise[2:]])
        labels.append(LABELS[label])
    return Examples(tokens, labels)


@pytest.fixture(scope="module")
def splits():
    return Splits(examples(300, 0), examples(80, 1), examples(80, 2))


def model(labels=LABELS, columns=3):
    rng = np.random.default_rng(0)
    return tfidf.LinearModel(
        ["bad", "bad not", "not bad", "w1"],
        np.array([1.0, 2.5, 2.25, 4.0]),
        rng.integers(-7, 8, (4, columns)).astype(np.int8),
        rng.random(columns) + 0.1,
        rng.standard_normal(columns),
        labels,
        "whitespace",
        Columns("body", "team"),
    )


@pytest.mark.parametrize("made", [model(), model(["no", "yes"], 1)], ids=["three", "two"])
def test_a_stored_model_gives_the_same_predictions(tmp_path, made):
    assert made.save(tmp_path / "m.safetensors") == (tmp_path / "m.safetensors").stat().st_size
    again = tfidf.LinearModel.load(tmp_path / "m.safetensors")
    assert again.ngrams == made.ngrams
    assert (again.labels, again.columns) == (made.labels, made.columns)
    assert again.tokenizer == made.tokenizer
    assert np.array_equal(again.weights, made.weights)
    assert np.abs(again.idf - made.idf).max() <= 3.0 / 255
    texts = [["not", "bad"], ["bad", "not", "w1"], ["unknown"], []]
    scores = made.scores(texts)
    assert np.abs(again.scores(texts) - scores).max() < 0.1
    loaded = ccompress.load(tmp_path / "m.safetensors")
    predictions = loaded.predict([" ".join(tokens) for tokens in texts])
    best = [labels[row.argmax()] for row, labels in zip(scores, [made.labels] * 4, strict=True)]
    assert [prediction.label for prediction in predictions] == [*best[:3], None]
    shares = np.exp(again.scores(texts[:1]))[0]
    shares /= shares.sum()
    expected = dict(zip(made.labels, shares, strict=True))
    assert predictions[0].probabilities == pytest.approx(expected, abs=1e-6)


def test_scores_are_those_of_the_formula():
    """In dense float64: (1 + log count) idf, scaled to length 1, times the rounded weights."""
    made = model()
    counts = np.array([2, 1, 1, 0])  # "bad not bad" has bad twice, and both pairs once
    vector = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * made.idf
    vector /= np.linalg.norm(vector)
    scores = vector @ (made.weights * made.scale) + made.bias
    assert made.scores([["bad", "not", "bad"]])[0] == pytest.approx(scores)
    assert made.scores([["unknown"]])[0] == pytest.approx(made.bias)


def test_pairs_of_words_are_read_and_larger_files_are_better_on_dev(splits, tmp_path):
    line = tfidf.train(splits, tmp_path, "whitespace")
    assert line[-1].dev_accuracy > 95  # single words cannot distinguish bad from good
    sizes, scores = [p.file_bytes for p in line], [p.dev_accuracy for p in line]
    assert sizes == sorted(sizes)
    assert scores == sorted(set(scores))
    stored = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert stored == sizes
    for point in line:
        stored_model = tfidf.LinearModel.load(tmp_path / point.file)
        assert tfidf.accuracy(stored_model, splits.test) == point.test_accuracy
        assert np.abs(stored_model.weights).max() == point.levels


def test_calibration_fits_the_probabilities_to_dev_and_keeps_the_labels(splits):
    made, _, _ = next(iter(tfidf.candidates(splits, LABELS, make)))
    wild = dataclasses.replace(made, scale=made.scale * 9, bias=made.bias * 9)
    texts, labels = splits.dev.tokens, list(splits.dev.labels)
    labels[::8] = ["fair"] * len(labels[::8])  # so that some predictions are wrong
    fitted = tfidf.calibrated(wild, Examples(texts, labels))
    assert np.array_equal(fitted.scores(texts).argmax(1), made.scores(texts).argmax(1))
    true = [LABELS.index(label) for label in labels]

    def surprise(model, times=1.0):
        probable = torch.from_numpy(times * model.scores(texts)).softmax(1)
        return -float(probable[range(len(true)), true].log().mean())

    assert surprise(fitted) < surprise(wild) - 0.1
    best = min(surprise(wild, times) for times in np.geomspace(0.05, 20, 400))
    assert surprise(fitted) == pytest.approx(best, abs=0.02)
    # If all predictions on dev are right, the probabilities are higher, but below 1.
    sure = tfidf.calibrated(wild, splits.dev)
    assert 0.8 < torch.from_numpy(sure.scores(texts)).softmax(1).amax(1).min() < 0.9999


def test_predict_and_evaluate_accept_a_linear_model_and_export_refuses_it(splits, tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    made, _, _ = next(iter(tfidf.candidates(splits, LABELS, make)))
    made.save(path)
    texts = [" ".join(tokens) for tokens in splits.test.tokens]
    table = tmp_path / "test.csv"
    rows = zip(texts, splits.test.labels, strict=True)
    table.write_text("\n".join(["body,team", *map(",".join, rows)]), "utf-8")
    assert cli.command(["predict", str(path), str(table)]) == 0
    answers = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    right = [a[0] == label for a, label in zip(answers, splits.test.labels, strict=True)]
    assert 100 * np.mean(right) == tfidf.accuracy(made, splits.test)
    assert cli.command(["evaluate", str(path), "--data", str(table)]) == 0
    assert f"accuracy  {100 * np.mean(right):.2f} %" in capsys.readouterr().out
    assert cli.command(["export", str(path), "--format", "onnx"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "only networks are exported" in line
    assert repr(ccompress.load(path)).startswith("<TF-IDF and a linear classifier over")


def test_other_files_are_refused(tmp_path):
    storage.save(tmp_path / "other.safetensors", {"a": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="holds no TF-IDF baseline"):
        tfidf.LinearModel.load(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        tfidf.LinearModel.load(tmp_path / "cut.safetensors")


def test_the_command_prints_and_stores_all_sizes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    overrides = [o for o in tiny_data.write(tmp_path / "data") if o.startswith("dataset")]
    assert cli.command(["baseline", *overrides]) == 0
    shown = capsys.readouterr().out
    with (tmp_path / "results" / "baseline" / "custom" / "baseline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert f"{float(row['test_accuracy']):.2f} %" in shown
    # A report of runs on these texts finds it.
    run = {key: [float(rows[0][key])] for key in linear_baseline.IDENTITY if key != "dataset"}
    run |= {"dataset": ["custom"], "data": ["custom, mine"]}
    found = linear_baseline.read(tmp_path / "results", pd.DataFrame(run))
    assert found["data"].tolist() == ["custom, mine"] * len(rows)
    assert cli.command(["baseline", "dataset=nowhere"]) == 2
    assert "dataset=nowhere is not known" in capsys.readouterr().err
