"""Store and resume a training: the file holds everything that the next epoch depends on."""

import json
from pathlib import Path

import torch
from torch import Tensor

from ccompress import storage
from ccompress.training.trainer import EpochRow, Trainer

_VALUES = "values"  # the metadata key of everything that is not a tensor


def save(path: Path, trainer: Trainer) -> None:
    """Store the state of a training between two epochs, atomically."""
    tensors = {f"last.{name}": tensor for name, tensor in trainer.trained_tensors()}
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best.tensors.items()}
    for name, state in trainer.optimizers.state().items():
        tensors |= {f"optimizer.{key}.{name}": value for key, value in state.items()}
    values = {
        "epoch": trainer.epoch,
        "step": trainer.step,
        "best_accuracy": trainer.best.accuracy,
        "rows": [vars(row) for row in trainer.rows],
    }
    storage.save(path, tensors, {_VALUES: json.dumps(values)})


def load(path: Path, trainer: Trainer) -> None:
    """Bring a trainer that has not started yet to the state of the stored one.

    Args:
        path: The file that `save` wrote.
        trainer: A trainer whose network and table equal those with which the stored training began.

    Raises:
        FileNotFoundError: There is no such file.
        storage.DamagedFile: The file is truncated or altered.
    """
    tensors = storage.TensorFile(path)
    values = json.loads(tensors.metadata[_VALUES])
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
