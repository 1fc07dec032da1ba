"""What lies in a folder of runs beside the runs, and is made again where it is needed.

These are the shared and the unfinished trainings, the prepared data, the locks, and the parts of
files that killed processes left behind. `KEY.lock` guards the files beside it whose names begin
with `KEY-` or `KEY.`: while a process holds the lock it uses them.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

# Folders in a folder of runs, and what lies there.
KINDS = {".stages": "shared trainings", ".prepared": "prepared data", ".locks": "locks of runs"}
_LOCK = ".lock"
_UNNAMED = ".tmp"  # safetensors writes into files with such names; they do not say whose they are


@dataclass
class Amount:
    """A number of files, and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass
class Leftovers:
    """What lies in a folder: what can be deleted (or was), and what a process uses now."""

    free: Amount
    in_use: Amount


def clean(folder: Path, *, delete: bool) -> Leftovers:
    """Count what lies in a folder of `KINDS`, and delete what is not in use if asked to.

    A file is deleted while its lock is held, so that no process begins to use it meanwhile. One
    that needs it later makes it again.

    Raises:
        OSError: The folder cannot be read, or a file cannot be deleted.
    """
    total = Leftovers(Amount(), Amount())
    for lock, paths in _by_lock(folder):
        sizes = [path.stat().st_size for path in paths]
        # A file without a name of its own may belong to any lock of the folder.
        unknown = lock is None and any(path.name.startswith(_UNNAMED) for path in paths)
        kept = (unknown and total.in_use.files) or not _free(lock, paths if delete else [])
        amount = total.in_use if kept else total.free
        amount.files += len(sizes)
        amount.bytes += sum(sizes)
    return total


def _by_lock(folder: Path) -> list[tuple[Path | None, list[Path]]]:
    """Each lock of a folder with the files that it guards, itself included; None guards the rest.

    A file that no lock guards is used by no process: each takes the lock before it begins.
    """
    paths = sorted(path for path in folder.glob("*") if path.is_file())
    locks = [path for path in paths if path.suffix == _LOCK]
    groups: defaultdict[Path | None, list[Path]] = defaultdict(list)
    for path in paths:
        name = path.name.lstrip(".")
        beginnings = ((lock, (f"{lock.stem}-", f"{lock.stem}.")) for lock in locks)
        guard = next((lock for lock, begins in beginnings if name.startswith(begins)), None)
        groups[guard].append(path)
    return sorted(groups.items(), key=lambda group: group[0] is None)


def _free(lock: Path | None, delete: Sequence[Path]) -> bool:
    """Whether no process holds a lock; then files are deleted while it is held here."""
    try:
        with FileLock(lock, timeout=0) if lock else nullcontext():
            for path in delete:
                path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True
