"""Stored trainings: that of the uncompressed network, which runs share, and unfinished ones.

All files are in one folder. The lock of a key guards the files of that key. `KEY-n.safetensors` is
the state of a shared training after epoch n. `KEY-unfinished.safetensors` is the state of a
training that is running or whose process was killed; it is deleted when the training is finished.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ccompress.storage import DamagedFile
from ccompress.training import checkpoint
from ccompress.training.trainer import Stage, Trainer

FOLDER = ".stages"  # inside the runs folder


@dataclass(frozen=True)
class Store:
    """Where a training is stored, and for which run.

    Attributes:
        folder: The folder of stored trainings, which is made if it does not exist.
        key: Identifies everything that the training depends on, except its length.
        run_id: The run that trains.
        on_resume: A function that is called if the training continues from a stored state.
    """

    folder: Path
    key: str
    run_id: str
    on_resume: Callable[[checkpoint.Origin], None] = lambda _: None

    def path(self, state: int | str) -> Path:
        """The file of a state: a number of epochs, or `unfinished`."""
        return self.folder / f"{self.key}-{state}.safetensors"

    def lock(self) -> FileLock:
        """The lock of the key, which becomes free however its process ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{self.key}.lock")


def train_reference(trainer: Trainer, store: Store, until: int) -> bool:
    """Bring a new trainer to the end of epoch `until`, and store its state there.

    The training continues from the longest stored state. If several processes want the same
    training, one trains and the others wait.

    Returns:
        Whether some epochs were stored already.
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
    """Bring `trainer` to the end of epoch `until`, without storing its final state.

    Only a killed process leaves a state behind, from which the next one continues.

    Returns:
        Whether some of these epochs were stored already.
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
    """Train until epoch `until`, and return the state from which the training continued.

    It continues from the unfinished training if that has more epochs than the loaded one, `stored`.
    """
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
    """Load a file as `checkpoint.load` does; None if it does not exist or is damaged."""
    try:
        return checkpoint.load(path, trainer, until)
    except (FileNotFoundError, DamagedFile):
        return None
