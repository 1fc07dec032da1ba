"""Shared trainings: the uncompressed network, trained once and gone on with by every run."""

from pathlib import Path

from filelock import FileLock

from ccompress.storage import DamagedFile
from ccompress.training import checkpoint
from ccompress.training.trainer import Trainer

FOLDER = ".stages"  # in the runs folder


def train_reference(trainer: Trainer, folder: Path, key: str, until: int) -> bool:
    """Bring `trainer`, which has not begun, to the end of epoch `until`; True if any was stored.

    The state after epoch n lies in `folder/KEY-n.safetensors`. What is stored of fewer epochs is
    gone on with. Of several processes that want the same training one trains and the others wait;
    the lock is the operating system's, which frees it when its process ends, however it ends.

    Args:
        trainer: A fresh trainer of the uncompressed network.
        folder: Where shared trainings lie; made when it is not there.
        key: Names all that the training depends on, but for its length.
        until: Number of epochs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        _resume(trainer, folder, key, until)
        resumed = trainer.epoch
        if resumed < until:
            trainer.train("reference", until)
            checkpoint.save(_path(folder, key, until), trainer)
        return resumed > 0


def _resume(trainer: Trainer, folder: Path, key: str, until: int) -> None:
    """Load the longest stored training of at most `until` epochs, if there is one."""
    for epoch in range(until, 0, -1):
        try:
            checkpoint.load(_path(folder, key, epoch), trainer)
        except (FileNotFoundError, DamagedFile):
            continue  # a damaged one is as good as none: it is trained again
        return


def _path(folder: Path, key: str, epochs: int) -> Path:
    return folder / f"{key}-{epochs}.safetensors"
