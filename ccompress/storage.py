"""Files that are whole or absent: atomic writes, and tensor files with a checksum.

Tensor files are safetensors (nothing is read with pickle). A SHA-256 over all tensors and metadata
stands in the metadata under `sha256` and is checked on loading.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    import torch

_CHECKSUM = "sha256"


class DamagedFile(ValueError):
    """A stored file is truncated, altered, or not of the kind it should be."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`, atomically.

    A kill at any moment leaves the old file or the new one, never a part of either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp's 0600 would hide results from the rest of a team
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _digest(tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of `tensors`, and over `metadata`."""
    digest = hashlib.sha256()
    for key in sorted(metadata):
        digest.update(f"{key}={metadata[key]}\0".encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}:{array.dtype}:{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def save(
    path: Path,
    tensors: "Mapping[str, np.ndarray[Any, Any] | torch.Tensor]",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Store named tensors (on any device) with their metadata and a checksum, atomically."""
    arrays = {
        name: np.asarray(
            tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy(), order="C"
        )
        for name, tensor in tensors.items()
    }
    stored = {**(metadata or {})}
    stored[_CHECKSUM] = _digest(arrays, stored)
    with replacing(path) as temporary:
        save_file(arrays, temporary, stored)


def load_numpy(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Read what `save` stored: the tensors as numpy arrays, and the metadata.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: The file is truncated, altered, or not a tensor file of this project.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from error
    checksum = metadata.pop(_CHECKSUM, None)
    if checksum is None:
        raise DamagedFile(f"{path} carries no checksum: it was not written by ccompress")
    if checksum != _digest(tensors, metadata):
        raise DamagedFile(f"{path} is damaged: its contents do not match its checksum")
    return tensors, metadata


def load(path: Path) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """Read what `save` stored, the tensors as torch tensors on the CPU; errors as `load_numpy`."""
    import torch

    arrays, metadata = load_numpy(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's contents, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
