"""Files that are either whole or absent: atomic writes, tensor files with checksums, caches.

Tensor files are safetensors; nothing is read with pickle. The metadata hold a SHA-256 over all
tensors and metadata under `sha256`. Loading checks it.
"""

import errno
import functools
import hashlib
import json
import logging
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize
from safetensors.numpy import save_file

from ccompress.errors import InputError

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, np.ndarray[Any, Any] | torch.Tensor]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CHECKSUM = "sha256"
# numpy's types by the names that safetensors gives them.
_TYPES = {
    **{f"F{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "BOOL": np.dtype(bool),
}


class DamagedFile(ValueError):
    """A stored file is truncated, altered, or not of the kind it should be."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. On success it replaces `path` atomically.

    A kill at any moment leaves the old file or the new one, never a part of either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.touch(exist_ok=False)  # with the rights that umask gives, which mkstemp would not
    rights = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != rights:
            # safetensors puts a file for its owner alone in this one's place. A file system that
            # refuses to change rights gives all files the same.
            with suppress(OSError):
                temporary.chmod(rights)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)  # what a user knows it by
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _digest(
    names: Iterable[str],
    array: Callable[[str], np.ndarray[Any, Any]],
    metadata: Mapping[str, str],
) -> str:
    """SHA-256 over names, types, shapes and bytes of named arrays, and over `metadata`."""
    digest = hashlib.sha256()
    for key in sorted(metadata):
        digest.update(f"{key}={metadata[key]}\0".encode())
    for name in sorted(names):
        one = array(name)
        digest.update(f"{name}:{one.dtype}:{one.shape}\0".encode())
        digest.update(one.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def save(
    path: Path,
    tensors: "Tensors",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Store named tensors (on any device) with their metadata and a checksum, atomically.

    Raises:
        OSError: The file cannot be written, as on a full disk.
    """
    arrays, stored = _with_checksum(tensors, metadata or {})
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, stored)
        except SafetensorError as error:
            # The library tells the system's error in its text alone.
            if number := re.search(r"\(os error (\d+)\)", str(error)):
                code = int(number[1])
                raise OSError(code, os.strerror(code), str(path)) from error
            raise


def size(tensors: "Tensors", metadata: Mapping[str, str]) -> int:
    """The bytes of the file that `save` would write."""
    return len(serialize(*_with_checksum(tensors, metadata)))


def _with_checksum(
    tensors: "Tensors", metadata: Mapping[str, str]
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Tensors as arrays, and the metadata with the checksum of all."""
    arrays = {
        name: np.asarray(
            tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy(), order="C"
        )
        for name, tensor in tensors.items()
    }
    return arrays, {**metadata, _CHECKSUM: _digest(arrays, arrays.__getitem__, metadata)}


class TensorFile(Mapping[str, "torch.Tensor"]):
    """The named tensors of a stored file, on the CPU. Each is read when it is used.

    So only the tensors in use are in memory. They are read, not mapped, because a mapped file
    counts as memory a second time.

    Attributes:
        metadata: As given to `save`.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: The file is truncated, altered, or not a tensor file of this project.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(path)
        self._path = path
        try:
            with safe_open(path, framework="numpy") as file:
                self.metadata: dict[str, str] = dict(file.metadata() or {})
                stored = [(name, file.get_slice(name)) for name in file.offset_keys()]
                kinds = [(n, _TYPES[s.get_dtype()], tuple(s.get_shape())) for n, s in stored]
        except KeyError as error:
            raise DamagedFile(f"{path} was not written by ccompress: {error} numbers") from error
        except (SafetensorError, ValueError, OSError) as error:
            raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from error
        # The library has checked that the tensors lie one after another up to the file's end.
        begin = path.stat().st_size - sum(t.itemsize * prod(s) for _, t, s in kinds)
        self._places: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        for name, kind, shape in kinds:
            self._places[name] = (kind, shape, begin)
            begin += kind.itemsize * prod(shape)
        checksum = self.metadata.pop(_CHECKSUM, None)
        if checksum is None:
            raise DamagedFile(f"{path} carries no checksum: it was not written by ccompress")
        if checksum != _digest(self, self.array, self.metadata):
            raise DamagedFile(f"{path} is damaged: its contents do not match its checksum")

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A tensor as a numpy array of its own."""
        kind, shape, offset = self._places[name]
        numbers = np.fromfile(self._path, kind, prod(shape), offset=offset)
        return numbers.reshape(shape)

    def __getitem__(self, name: str) -> "torch.Tensor":
        import torch

        return torch.from_numpy(self.array(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def load_numpy(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """All that `save` stored, as numpy arrays, and the metadata; errors as `TensorFile`."""
    file = TensorFile(path)
    return {name: file.array(name) for name in file}, file.metadata


def load(path: Path) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """All that `save` stored, as torch tensors, and the metadata; errors as `TensorFile`."""
    file = TensorFile(path)
    return dict(file), file.metadata


def json_array(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """`value` as JSON, to be stored among tensors: words may hold any character."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def from_json_array(array: np.ndarray[Any, Any]) -> Any:
    """The inverse of `json_array`."""
    return json.loads(array.tobytes())


def made_once(
    path: Path,
    make: Callable[[], T],
    pack: "Callable[[T], tuple[Mapping[str, np.ndarray[Any, Any] | torch.Tensor], dict[str, str]]]",
    unpack: Callable[[TensorFile], T],
) -> T:
    """What lies in `path`; if nothing whole does, what `make` gives, stored there.

    Of several processes that want it, one makes it and the others wait. Their lock, which lies
    beside `path`, is the operating system's: it is free when its process ends, however it ends.

    Args:
        path: The file; its folder is made when it is not there.
        make: Makes the thing; it may hold other locks, of other paths.
        pack: The thing as tensors and metadata, as `save` takes them.
        unpack: The inverse of `pack`; raises `DamagedFile` where the parts do not fit together.
    """
    with suppress(FileNotFoundError, DamagedFile):
        return unpack(TensorFile(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        try:
            return unpack(TensorFile(path))
        except FileNotFoundError:
            pass
        except DamagedFile as error:
            logger.warning("%s; making it anew", error)
        made = make()
        save(path, *pack(made))
        return made


def expanded(path: str | Path) -> Path:
    """A path that a user gave, with `~` and `~name` replaced by the home folder.

    Raises:
        InputError: No home folder is known, as for a user who is not in the system's list.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no home folder; give the whole path") from error


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that the disk or a quota is full."""
    if error is None:
        return False
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or disk_is_full(error.__cause__)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's contents, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def contents_sha256(path: Path) -> str:
    """As `file_sha256`, but a file that this process has read before is not read again.

    A file counts as the same while its size and its time of change stay: a sweep asks for the same
    files at every run.
    """
    status = path.stat()
    return _contents_sha256(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache
def _contents_sha256(path: Path, modified: int, size: int) -> str:
    return file_sha256(path)
