"""Shared trainings: the uncompressed network, trained once and gone on with by every run."""

import json
from pathlib import Path

from filelock import FileLock

from ccompress import storage
from ccompress.train import Trainer

_VALUES = "values"


def train_reference(trainer: Trainer, folder: Path, key: str, until: int) -> bool:
    """Bring `trainer`, which has not begun, to the end of epoch `until`; True if it was stored.

    The state after epoch n lies in `folder/KEY-n.safetensors`. What is stored of fewer epochs is
    gone on with. Of several processes that want the same training one trains and the others wait;
    the lock is the operating system's, which frees it when its process ends, however it ends.

    Args:
        trainer: A fresh trainer of the uncompressed network.
        folder: Where stages lie; made when it is not there.
        key: Names all that the training depends on, but for its length.
        until: Number of epochs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        _resume(trainer, folder, key, until)
        if trainer.epoch == until:
            return True
        trainer.train("reference", until)
        tensors, values = trainer.state()
        path = _path(folder, key, until)
        storage.save(path, tensors, {_VALUES: json.dumps(values)})
        return False


def _resume(trainer: Trainer, folder: Path, key: str, until: int) -> None:
    """Load the longest stored training of at most `until` epochs, if there is one."""
    for epoch in range(until, 0, -1):
        path = _path(folder, key, epoch)
        try:
            stored = storage.TensorFile(path)
        except FileNotFoundError:
            continue
        except storage.DamagedFile:
            path.unlink()  # trained again below
            continue
        trainer.load_state(stored, json.loads(stored.metadata[_VALUES]))
        return


def _path(folder: Path, key: str, epochs: int) -> Path:
    return folder / f"{key}-{epochs}.safetensors"
