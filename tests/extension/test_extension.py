"""A user's own data set, vectors, network and method, used as the user would use them."""

import random
import shutil
from pathlib import Path

import pytest
import torch
from builders import random_split

from ccompress.data.batches import evaluation_batches
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.experiment import results
from ccompress.networks.folding import fold
from ccompress.training.evaluation import predict

HERE = Path(__file__).parent  # with my_package and conf
LABELS = ("call", "play", "stop")


def request(label, draw):
    telling = [f"{label}ing{draw.randrange(15)}" for _ in range(4)]
    other = [f"word{draw.randrange(40)}" for _ in range(3)]
    return " ".join(telling + other)


@pytest.fixture
def extended(ccompress, tmp_path, monkeypatch):
    """Runs the command with `my_package` installed, in a folder with its data set."""
    shutil.copy(HERE / "requests.txt", tmp_path)  # synthetic texts, made by `request`
    monkeypatch.syspath_prepend(HERE)
    return ccompress


def test_an_experiment_with_only_the_users_classes(console, extended, tmp_path):
    experiment = ["--config-dir", str(HERE / "conf"), "+experiment=mine", "-m"]
    done = console(*experiment, PYTHONPATH=str(HERE), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    rows = {
        (row["method"], row["rate"]): row
        for row in results.read_runs(tmp_path / "results" / "mine" / "runs.csv")
    }
    assert sorted(rows) == [
        ("frequent_words", 0.5),
        ("frequent_words", 0.75),
        ("in_training_svd", 0.5),
        ("in_training_svd", 0.75),
        ("none", 0),
    ]
    reference = rows["none", 0]
    assert reference["test_accuracy"] > 90  # of three classes
    assert (reference["dataset"], reference["network"]) == ("requests", "max_pooling")
    assert reference["vectors"] == "trigrams.16d"
    assert reference["epochs"] == 10
    assert all(row["achieved_reduction"] >= rate for (_, rate), row in rows.items())

    again = extended(*experiment)
    assert "5 finished before, 0 to do" in again.stdout

    draw = random.Random(1)
    labels = [draw.choice(LABELS) for _ in range(30)]
    sentences = "".join(f"{request(label, draw)}\n" for label in labels)
    (tmp_path / "sentences.txt").write_text(sentences.upper(), encoding="utf-8")
    predict = ["predict", rows["frequent_words", 0.5]["run_id"], "sentences.txt"]
    refused = extended(*predict)
    assert refused.returncode == 2
    for name in ("network.MaxPooling", "method.SharedRows", "dataset.lower"):
        assert f" my_package.{name}" in refused.stderr
    assert "give --trust my_package (" in refused.stderr
    predicted = extended(*predict, "--trust", "my_package")
    assert predicted.returncode == 0, predicted.stderr
    guesses = [line.split("\t")[0] for line in predicted.stdout.splitlines()]
    assert sum(map(str.__eq__, guesses, labels)) > 20

    reported = extended("report", "mine")
    assert reported.returncode == 0, reported.stderr
    assert "frequent_words" in (tmp_path / "results" / "mine" / "tables.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.weighted=perhaps"], "method.weighted: Value 'perhaps'"),
        (["+network.hiden=3"], "network.hiden is not known (did you mean network.hidden?)"),
        (["rate=0.99"], "rate=0.99 leaves no word of "),
    ],
)
def test_options_of_the_users_classes_are_checked(extended, overrides, message):
    done = extended(
        "--config-dir",
        str(HERE / "conf"),
        "dataset=requests",
        "dataset.path=requests.txt",
        "vectors=trigrams",
        "network=max_pooling",
        "method=frequent_words",
        *overrides,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_package_is_named(console):
    done = console("--config-dir", str(HERE / "conf"), "vectors=trigrams", PYTHONPATH="")
    assert done.returncode == 2
    assert "my_package.vectors.Trigrams cannot be imported: No module named" in done.stderr


@pytest.fixture
def network(monkeypatch):
    """The user's network with a low-rank embedding."""
    monkeypatch.syspath_prepend(HERE)
    from my_package.network import MaxPooling

    torch.manual_seed(0)
    return MaxPooling(LowRankEmbedding(60, 12, 5, padding_idx=0), 12, 3, hidden=9)


def test_the_users_network_is_folded_too(network):
    split = random_split(50, 60, 0)
    folded = fold(network)
    assert folded.features.in_features == 5
    assert torch.allclose(predict(folded, split), predict(network, split), atol=1e-6)


def test_the_users_network_gives_the_same_scores_for_padded_sentences(network):
    (batch,) = evaluation_batches(random_split(50, 60, 0))
    tokens = torch.zeros(50, batch.longest, dtype=torch.long)
    inside = torch.arange(batch.longest) < batch.lengths.unsqueeze(1)
    tokens[inside] = batch.words[batch.positions]
    padded = network.read_padded(network.embedding(tokens), inside)
    assert torch.allclose(padded, network(batch), atol=1e-6)
