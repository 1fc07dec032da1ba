"""Store and resume a training: the file holds everything that the next epoch depends on."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ccompress import storage
from ccompress.training.trainer import EpochRow, Trainer

_VALUES = "values"  # the metadata key of everything that is not a tensor
# A killed process loses no more of its training than this, and what it has of the present epoch.
SECONDS = 60.0


class Origin(NamedTuple):
    """What a training went on from.

    Attributes:
        epoch: Number of epochs that were stored.
        run_id: The run that stored them, or ""; earlier versions did not say.
    """

    epoch: int
    run_id: str


class Periodic:
    """Stores a training between its epochs, if `SECONDS` have passed since it did so last.

    Args:
        path: The file.
        run_id: The run that trains.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path, self._run_id = path, run_id
        self._last = time.monotonic()

    def __call__(self, trainer: Trainer) -> None:
        """Store `trainer` if it is time."""
        if time.monotonic() - self._last >= SECONDS:
            save(self._path, trainer, self._run_id)
            self._last = time.monotonic()


def save(path: Path, trainer: Trainer, run_id: str) -> None:
    """Store the state of a training between two epochs, atomically."""
    tensors = {f"last.{name}": tensor for name, tensor in trainer.trained_tensors()}
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best.tensors.items()}
    for name, state in trainer.optimizers.state().items():
        tensors |= {f"optimizer.{key}.{name}": value for key, value in state.items()}
    values = {
        "run_id": run_id,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "best_accuracy": trainer.best.accuracy,
        "rows": [vars(row) for row in trainer.rows],
    }
    storage.save(path, tensors, {_VALUES: json.dumps(values)})


def load(path: Path, trainer: Trainer, until: int) -> Origin | None:
    """Bring a trainer to the state of the stored one, if that is later and not after `until`.

    Args:
        path: The file that `save` wrote.
        trainer: A trainer whose network and table equal those with which the stage began that was
            being trained.
        until: The most epochs.

    Returns:
        What was stored, or None if it was not loaded.

    Raises:
        FileNotFoundError: There is no such file.
        storage.DamagedFile: The file is truncated or altered.
    """
    tensors = storage.TensorFile(path)
    values = json.loads(tensors.metadata[_VALUES])
    if not trainer.epoch < values["epoch"] <= until:
        return None
    with torch.no_grad():
        for name, tensor in trainer.trained_tensors():
            tensor.copy_(tensors[f"last.{name}"])
    optimizer_states: dict[str, dict[str, Tensor]] = {}
    for key in tensors:
        kind, _, name = key.partition(".")
        if kind == "best":
            trainer.best.tensors[name] = tensors[key].to(trainer.device)
        elif kind == "optimizer":
            moment, _, parameter = name.partition(".")
            optimizer_states.setdefault(parameter, {})[moment] = tensors[key]
    trainer.optimizers.load_state(optimizer_states)
    trainer.best.accuracy = values["best_accuracy"]
    trainer.epoch, trainer.step = values["epoch"], values["step"]
    trainer.rows = [EpochRow(**row) for row in values["rows"]]
    return Origin(trainer.epoch, values.get("run_id", ""))
