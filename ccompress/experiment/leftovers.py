"""Files in a folder of runs that are not runs and can be made again.

These are shared and unfinished trainings, prepared data, locks, and partial files of killed
processes. `KEY.lock` guards the files in its folder whose names begin with `KEY-` or `KEY.`: a
process uses them only while it holds the lock.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

# Folder inside a folder of runs -> what it contains.
KINDS = {".stages": "shared trainings", ".prepared": "prepared data", ".locks": "locks of runs"}
_LOCK = ".lock"
_UNNAMED = ".tmp"  # safetensors writes files with such names, which do not show their key


@dataclass
class Amount:
    """A number of files and their total size in bytes."""

    files: int = 0
    bytes: int = 0


@dataclass
class Leftovers:
    """The files of a folder: those that can be deleted (or were), and those in use now."""

    free: Amount
    in_use: Amount


def clean(folder: Path, *, delete: bool) -> Leftovers:
    """Count the files in a folder of `KINDS`, and optionally delete those that are not in use.

    A file is deleted while its lock is held, so that no process begins to use it meanwhile. A
    process that needs the file later makes it again.

    Args:
        folder: The folder.
        delete: Whether to delete the files that are not in use.

    Raises:
        OSError: The folder cannot be read, or a file cannot be deleted.
    """
    total = Leftovers(Amount(), Amount())
    for lock, paths in _by_lock(folder):
        sizes = [path.stat().st_size for path in paths]
        # A file whose name shows no key may belong to any lock of the folder.
        unknown = lock is None and any(path.name.startswith(_UNNAMED) for path in paths)
        kept = (unknown and total.in_use.files) or not _free(lock, paths if delete else [])
        amount = total.in_use if kept else total.free
        amount.files += len(sizes)
        amount.bytes += sum(sizes)
    return total


def in_use(lock: Path) -> bool:
    """Whether a process holds a lock."""
    return lock.is_file() and not _free(lock, [])


def _by_lock(folder: Path) -> list[tuple[Path | None, list[Path]]]:
    """Each lock of a folder with the files that it guards, including itself; None has the rest.

    No process uses a file without a lock, because each process takes the lock first.
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
    """Whether no other process holds a lock; if so, delete files while holding it."""
    try:
        with FileLock(lock, timeout=0) if lock else nullcontext():
            for path in delete:
                path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True
