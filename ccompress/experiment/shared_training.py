"""Stored trainings: the uncompressed network's, which runs share, and those that were cut off.

Files lie in one folder, and the lock of a key guards its files. `KEY-n.safetensors` is the state of
a shared training after epoch n. `KEY-unfinished.safetensors` is that of a training which is going
on, or whose process was killed; it goes when the training is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ccompress.storage import DamagedFile
from ccompress.training import checkpoint
from ccompress.training.trainer import Stage, Trainer

FOLDER = ".stages"  # in the runs folder


@dataclass(frozen=True)
class Store:
    """Where a training is stored, and for which run.

    Attributes:
        folder: Where stored trainings lie; made when it is not there.
        key: Names all that the training depends on, but for its length.
        run_id: The run that trains.
        on_resume: Called with what the training goes on from, if anything was stored.
    """

    folder: Path
    key: str
    run_id: str
    on_resume: Callable[[checkpoint.Origin], None] = lambda _: None

    def path(self, state: int | str) -> Path:
        """The file of a state: a number of epochs, or `unfinished`."""
        return self.folder / f"{self.key}-{state}.safetensors"

    def lock(self) -> FileLock:
        """The lock of the key; it is free when its process ends, however it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{self.key}.lock")


def train_reference(trainer: Trainer, store: Store, until: int) -> bool:
    """Bring `trainer`, which has not begun, to the end of epoch `until`; True if any was stored.

    What is stored of fewer epochs is gone on with, and the state after epoch `until` is kept. Of
    several processes that want the same training one trains and the others wait.
    """
    with store.lock():
        stored = _longest(trainer, store, until)
        if stored and stored.epoch == until:
            store.on_resume(stored)
            return True
        origin = _train(trainer, store, "reference", until, stored)
        checkpoint.save(store.path(until), trainer, store.run_id)
        _forget(store)
        return origin is not None


def train_rest(trainer: Trainer, store: Store, stage: str | Stage, until: int) -> bool:
    """Bring `trainer` to the end of epoch `until`; True if some of these epochs were stored.

    Nothing is kept: only a process that was killed leaves epochs behind.
    """
    with store.lock():
        origin = _train(trainer, store, stage, until, None)
        _forget(store)
        return origin is not None


def _train(
    trainer: Trainer,
    store: Store,
    stage: str | Stage,
    until: int,
    stored: checkpoint.Origin | None,
) -> checkpoint.Origin | None:
    """Go on from what was cut off, if that is more than what is loaded; what it went on from."""
    unfinished = store.path("unfinished")
    origin = _load(unfinished, trainer, until) or stored
    if origin:
        store.on_resume(origin)
    trainer.train(stage, until, checkpoint.Periodic(unfinished, store.run_id))
    return origin


def _forget(store: Store) -> None:
    store.path("unfinished").unlink(missing_ok=True)


def _longest(trainer: Trainer, store: Store, until: int) -> checkpoint.Origin | None:
    """Load the longest stored training of at most `until` epochs, if there is one."""
    for epoch in range(until, 0, -1):
        if origin := _load(store.path(epoch), trainer, until):
            return origin
    return None


def _load(path: Path, trainer: Trainer, until: int) -> checkpoint.Origin | None:
    """As `checkpoint.load`; a damaged file is as good as none: its epochs are trained again."""
    try:
        return checkpoint.load(path, trainer, until)
    except (FileNotFoundError, DamagedFile):
        return None
