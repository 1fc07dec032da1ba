"""Runs of a network that reads n-grams: their ids, and the predictions of their model files."""

import csv
import itertools

import composing
import pytest
import tiny_data

from ccompress.deployment import model
from ccompress.experiment import results


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


def test_a_run_with_words_only_has_the_id_from_before_there_were_ngrams():
    usual = composing.settings("vectors=random")
    explicit = composing.settings("vectors=random", "network.ngrams=1")
    assert "ngrams" not in usual.identity["network"]
    assert "ngrams" not in usual.data_identity
    assert explicit.run_id == usual.run_id
    pairs = composing.settings("vectors=random", "network.ngrams=2")
    assert pairs.run_id != usual.run_id
    assert pairs.data_identity == {**usual.data_identity, "ngrams": 2}


def test_the_model_file_predicts_raw_texts_as_the_run_predicted_test(ccompress, tiny, tmp_path):
    options = ["network.ngrams=2", "method=in_training_svd_mixed", "rate=0.75", "rest=int8"]
    done = ccompress(*tiny, *options)
    assert done.returncode == 0, done.stderr
    (row,) = results.collect(tmp_path / "results" / "runs")
    folder = tmp_path / "results" / "runs" / row["run_id"]
    with (tmp_path / "data" / "train.csv").open() as file:
        texts = [line["text"].split() for line in csv.DictReader(file)]
    pairs = [" ".join(pair) for text in texts for pair in itertools.pairwise(text)]
    frequent = {pair for pair in pairs if pairs.count(pair) >= 2}
    assert frequent
    small = model.load(folder)
    assert small.ngrams == 2
    assert {word for word in small.words if " " in word} == frequent
    assert row["vocab_size"] == 2 + len({word for text in texts for word in text}) + len(frequent)

    with (folder / "predictions.csv").open() as file:
        expected = [line["prediction"] for line in csv.DictReader(file)]
    with (tmp_path / "data" / "test.csv").open() as file:
        lines = list(csv.DictReader(file))
    predictions = small.predict([line["text"] for line in lines])
    assert [prediction.label for prediction in predictions] == expected

    data = tmp_path / "data" / "test.csv"
    assert ccompress("evaluate", str(folder), "--data", str(data)).stdout.startswith(
        f"accuracy  {row['test_accuracy']:.2f} %"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["network.ngrams=0"], "network.ngrams=0: it is at least 1"),
        (["network=lstm", "network.ngrams=2"], "network.ngrams is not known"),
    ],
)
def test_impossible_ngrams_give_an_error_of_one_line(ccompress, tiny, options, reason):
    others = [option for option in tiny if not option.startswith("network")]
    done = ccompress(*others, *options)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
