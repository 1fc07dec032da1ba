"""The linear baseline, which has no embeddings."""

import csv

import numpy as np
import pytest
import tiny_data

from ccompress import cli, storage
from ccompress.data.base import Examples, Splits
from ccompress.errors import InputError

pytest.importorskip("sklearn", reason="needs the extra [baseline]")

from ccompress.baselines import tfidf

LABELS = ["bad", "fair", "good"]


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
    )


@pytest.mark.parametrize("made", [model(), model(["no", "yes"], 1)], ids=["three", "two"])
def test_a_stored_model_gives_the_same_predictions(tmp_path, made):
    assert made.save(tmp_path / "m.safetensors") == (tmp_path / "m.safetensors").stat().st_size
    again = tfidf.LinearModel.load(tmp_path / "m.safetensors")
    assert again.ngrams == made.ngrams
    assert again.labels == made.labels
    assert np.array_equal(again.weights, made.weights)
    assert np.abs(again.idf - made.idf).max() <= 3.0 / 255
    texts = [["not", "bad"], ["bad", "not", "w1"], ["unknown"], []]
    assert again.predict(texts).tolist() == made.predict(texts).tolist()


def test_scores_are_those_of_the_formula():
    """In dense float64: (1 + log count) idf, scaled to length 1, times the rounded weights."""
    made = model()
    counts = np.array([2, 1, 1, 0])  # "bad not bad" has bad twice, and both pairs once
    vector = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * made.idf
    vector /= np.linalg.norm(vector)
    scores = vector @ (made.weights * made.scale) + made.bias
    assert made.predict([["bad", "not", "bad"]]).tolist() == [scores.argmax()]


def test_pairs_of_words_are_read_and_larger_files_are_better_on_dev(splits, tmp_path):
    line = tfidf.train(splits, tmp_path)
    assert line[-1].dev_accuracy > 95  # single words cannot distinguish bad from good
    sizes, scores = [p.file_bytes for p in line], [p.dev_accuracy for p in line]
    assert sizes == sorted(sizes)
    assert scores == sorted(set(scores))
    stored = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert stored == sizes
    for point in line:
        path = tmp_path / f"tfidf-{point.features}-{point.levels}.safetensors"
        stored_model = tfidf.LinearModel.load(path)
        assert tfidf.accuracy(stored_model, splits.test) == point.test_accuracy
        assert np.abs(stored_model.weights).max() == point.levels


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
    assert cli.command(["baseline", *overrides, "--out", "baseline"]) == 0
    shown = capsys.readouterr().out
    with (tmp_path / "baseline" / "baseline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert f"{float(row['test_accuracy']):.2f} %" in shown
    assert cli.command(["baseline", "dataset=nowhere"]) == 2
    assert "dataset=nowhere is not known" in capsys.readouterr().err
