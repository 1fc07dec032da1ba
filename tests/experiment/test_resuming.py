"""A killed run continues from its stored state, with the same numbers as an undisturbed run."""

import csv
import json
import subprocess
import sys

import composing
import pytest
import tiny_data
import torch
from builders import TRAINED, new_trainer, trained_embedding

from ccompress import storage
from ccompress.deployment import model
from ccompress.experiment import log, results
from ccompress.experiment.leftovers import clean
from ccompress.experiment.run import run
from ccompress.experiment.shared_training import Store, train_reference, train_rest
from ccompress.training import checkpoint


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


def parameters(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


class Killed(BaseException):
    """Ends a training like SIGKILL, as nothing catches it."""


def killed_after(trainer, epoch):
    """A trainer that is killed after an epoch."""

    def on_epoch(row):
        if row.epoch == epoch:
            raise Killed

    trainer.on_epoch = on_epoch
    return trainer


def compressed(kind, device):
    """A trainer whose table is replaced after two epochs."""
    trainer = new_trainer(device=device)
    trainer.train("reference", 2)
    trainer.replace_embedding(lambda table: trained_embedding(kind, table))
    return trainer


@pytest.mark.parametrize("kind", TRAINED)
def test_the_second_half_continues_with_the_same_numbers(tmp_path, monkeypatch, kind, device):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    origins = []
    store = Store(tmp_path, "key", "this one", origins.append)
    uninterrupted = compressed(kind, device)
    uninterrupted.train("compressed", 7)
    with pytest.raises(Killed):
        train_rest(killed_after(compressed(kind, device), 5), store, "compressed", 7)
    assert store.path("unfinished").is_file()
    resumed = compressed(kind, device)
    assert train_rest(resumed, store, "compressed", 7)
    # The state was stored after each epoch except the one in which the training died.
    assert origins == [(4, "this one")]
    assert [row.epoch for row in resumed.rows] == list(range(1, 8))
    for restored in (False, True):
        if restored:
            uninterrupted.restore_best()
            resumed.restore_best()
        resumed_parameters = parameters(resumed.network)
        for name, tensor in parameters(uninterrupted.network).items():
            assert torch.equal(tensor, resumed_parameters[name]), name
    assert not store.path("unfinished").exists()


def test_an_unfinished_training_is_used_only_by_trainings_that_contain_it(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    origins = []
    store = Store(tmp_path, "key", "first", origins.append)
    with pytest.raises(Killed):
        train_reference(killed_after(new_trainer(), 5), store, 6)
    assert not train_reference(new_trainer(), store, 2)  # the stored four epochs are too many
    with pytest.raises(Killed):
        train_reference(killed_after(new_trainer(), 5), store, 6)
    assert train_reference(new_trainer(), store, 6)
    assert [origin.epoch for origin in origins] == [2, 4]
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "key-2.safetensors",
        "key-6.safetensors",
    }


def test_a_damaged_state_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    store = Store(tmp_path, "key", "run")
    with pytest.raises(Killed):
        train_reference(killed_after(new_trainer(), 3), store, 4)
    path = store.path("unfinished")
    path.write_bytes(path.read_bytes()[:-5])
    assert not train_reference(new_trainer(), store, 4)


def test_short_trainings_store_no_intermediate_state(tmp_path):
    store = Store(tmp_path, "key", "run")
    with pytest.raises(Killed):
        train_reference(killed_after(new_trainer(), 3), store, 4)
    assert list(tmp_path.glob("*.safetensors")) == []


# The process stores its state after every epoch, and kills itself in the given one.
SELF_KILLING = """
import os, signal, sys
from ccompress.experiment import log
from ccompress.training import checkpoint
checkpoint.SECONDS = 0
add = log.add
def killing(folder, lines):
    lines = list(lines)
    add(folder, lines)
    if lines[0].startswith(f"epoch {os.environ['LAST']}/"):
        os.kill(os.getpid(), signal.SIGKILL)
log.add = killing
from ccompress.cli import main
main()
"""


@pytest.mark.parametrize(
    ("last", "stage", "begins"), [(3, "reference", 2), (7, "compressed", 6), (5, "compressed", 4)]
)
def test_a_killed_process_is_continued_with_a_message_and_the_same_results(
    ccompress, tiny, tmp_path, last, stage, begins
):
    options = [*tiny, "rate=0.7", "train.epochs=8"]
    undisturbed = composing.settings(*options, f"runs_dir={tmp_path / 'undisturbed'}")
    run(undisturbed, "", on_epoch=lambda row: None)

    command = [sys.executable, "-c", SELF_KILLING.replace("os.environ['LAST']", str(last))]
    killed = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    runs = tmp_path / "results" / "runs"
    assert results.collect(runs) == []

    done = ccompress(*options)
    assert done.returncode == 0, done.stderr
    folder = runs / undisturbed.run_id
    assert f"continues after epoch {begins} of 8, stored by this run\n" in done.stdout
    assert f"epoch {begins}/8" not in done.stdout
    assert f"epoch {begins + 1}/8 {stage}: " in done.stdout

    models = [storage.load_numpy(each / model.FILE) for each in (folder, undisturbed.folder)]
    (resumed_tensors, resumed_metadata), (tensors, metadata) = models
    assert resumed_metadata == metadata
    assert {name: a.tobytes() for name, a in resumed_tensors.items()} == {
        name: a.tobytes() for name, a in tensors.items()
    }
    predictions = "predictions.csv"
    assert (folder / predictions).read_text() == (undisturbed.folder / predictions).read_text()
    measured = {*results.MEASURED, "overrides"}
    resumed_row, row = (
        json.loads((f / "result.json").read_text()) for f in (folder, undisturbed.folder)
    )
    assert {k: v for k, v in resumed_row.items() if k not in measured} == {
        k: v for k, v in row.items() if k not in measured
    }
    with (folder / "metrics.csv").open() as one, (undisturbed.folder / "metrics.csv").open() as two:
        rows = [[{**row, "seconds": ""} for row in csv.DictReader(file)] for file in (one, two)]
    assert rows[0] == rows[1]
    # Both attempts are in the log, and no file of the unfinished training is left.
    log_text = (folder / log.FILE).read_text()
    assert log_text.count(f"epoch {last}/8") == 2
    assert "continues after epoch" in log_text
    assert not list((runs / ".stages").glob("*unfinished*"))


def test_runs_clean_knows_unfinished_trainings(tmp_path):
    store = Store(tmp_path / ".stages", "key", "run")
    store.folder.mkdir()
    storage.save(store.path("unfinished"), {"a": torch.zeros(100)})
    size = store.path("unfinished").stat().st_size
    with store.lock():
        assert clean(store.folder, delete=True).in_use.bytes == size
    assert clean(store.folder, delete=True).free.bytes == size
    assert not store.path("unfinished").exists()
