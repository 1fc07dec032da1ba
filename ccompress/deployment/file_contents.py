"""The contents of a model file, and the bytes of its parts.

It is a safetensors file. The network's tensors have their own names, and those of the embedding
begin with `embedding.`. Another tensor holds the words (`ccompress.deployment.row_order`). The last
one is compressed JSON: the arguments that build the network and its embedding, the labels, and the
tokenizer. Reading raw text needs nothing else from a run's configuration, so nothing else is
stored.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ccompress import storage
from ccompress.data.base import Columns
from ccompress.deployment import row_order
from ccompress.errors import InputError
from ccompress.networks.base import Network

# Raise it if the file changes so that an earlier ccompress cannot read it.
_FORMAT = "2"
# In the first format, the words and everything else are JSON in the file's own metadata, and the
# rows are in the order of training.
_FIRST_FORMAT = "1"
ABOUT = ".about"
_VOCABULARY = (row_order.WORDS, row_order.RUNS)


class FileBytes(NamedTuple):
    """The number of bytes of each part of a model file.

    Attributes:
        table: The tensors of the embedding.
        rest: The tensors of all other layers.
        vocabulary: The words of the rows.
        metadata: Everything else: the labels, the arguments that build the network, the names,
            types and shapes of the tensors, and the checksum.
    """

    table: int
    rest: int
    vocabulary: int
    metadata: int


@dataclass(frozen=True)
class Contents:
    """The contents of a model file, before or after it is written."""

    tensors: Mapping[str, "Tensor | np.ndarray[Any, Any]"]

    @property
    def _metadata(self) -> dict[str, str]:
        return {"format": _FORMAT}

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        storage.save(path, self.tensors, self._metadata)

    def file_bytes(self) -> FileBytes:
        """The number of bytes of each part, as in the written file."""
        parts = dict.fromkeys(FileBytes._fields, 0)
        for name, tensor in self.tensors.items():
            parts[_part(name)] += tensor.nbytes
        tensors = parts["table"] + parts["rest"] + parts["vocabulary"]
        parts["metadata"] = storage.size(self.tensors, self._metadata) - tensors
        return FileBytes(**parts)


def _part(name: str) -> str:
    """The part of the file that a tensor belongs to."""
    if name in _VOCABULARY:
        return "vocabulary"
    if name == ABOUT:
        return "metadata"
    return "table" if name.startswith("embedding.") else "rest"


def pack(
    network: Network, words: list[str], rest: Mapping[str, Tensor], about: Mapping[str, Any]
) -> Contents:
    """The contents of the model file of a network.

    Args:
        network: The network as it is shipped (`ccompress.networks.rest`).
        words: The word of each row of its embedding.
        rest: The stored tensors of all layers except the embedding.
        about: Plain values, from which `ccompress.deployment.model.load` builds the network again.
    """
    rows = row_order.ordered(network.embedding, words)
    embedding = {f"embedding.{name}": tensor for name, tensor in rows.state.items()}
    return Contents({**embedding, **rest, **rows.words, ABOUT: packed_about(about)})


def packed_about(about: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Plain values, to be stored among tensors."""
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(zlib.compress(text.encode(), 9), np.uint8)


def unpacked_about(stored: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The inverse of `packed_about`.

    Raises:
        ValueError: They are damaged.
    """
    try:
        about: dict[str, Any] = json.loads(zlib.decompress(stored.tobytes()))
    except zlib.error as error:
        raise ValueError(f"{ABOUT}: {error}") from error
    return about


def columns_of(about: Mapping[str, Any]) -> Columns | None:
    """The columns that a file names; None in files of earlier versions, too."""
    return Columns(**about["columns"]) if "columns" in about else None


class Stored(NamedTuple):
    """A file as it stands.

    Attributes:
        tensors: Its tensors by name.
        metadata: Its metadata, without the checksum.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def opened(path: Path) -> Stored:
    """What a model file of any kind holds.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    try:
        return Stored(*storage.load(path))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except storage.DamagedFile as error:
        raise InputError(str(error).splitlines()[0]) from error


class Read(NamedTuple):
    """The contents of a model file that was read.

    Attributes:
        tensors: The tensors of the network, by name.
        words: The word of each row of its embedding.
        about: The plain values that `pack` was given.
    """

    tensors: dict[str, Tensor]
    words: list[str]
    about: dict[str, Any]


def read(stored: Stored, path: Path) -> Read:
    """Read the file of a network, of this or an earlier version.

    Raises:
        InputError: It is no model, or of a later version.
        ValueError: Its parts cannot be read or do not fit together. This includes
            `json.JSONDecodeError`.
        KeyError: A part is missing.
    """
    tensors, metadata = stored
    if ABOUT not in tensors and "embedding" not in metadata:
        raise InputError(f"{path} is not a model but another file that ccompress stored")
    if metadata["format"] == _FIRST_FORMAT:
        return _of_first_format(tensors, metadata)
    if metadata["format"] != _FORMAT:
        raise InputError(f"{path} was written by another version of ccompress: update this one")
    others = {name: tensors.pop(name).numpy() for name in (*_VOCABULARY, ABOUT) if name in tensors}
    return Read(tensors, row_order.words_of_rows(others), unpacked_about(others[ABOUT]))


def _of_first_format(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> Read:
    about = {name: json.loads(metadata[name]) for name in ("labels", "embedding", "config")}
    about["tokenizer"] = metadata["tokenizer"]
    if "width" in metadata:
        about["width"] = int(metadata["width"])
    return Read(tensors, json.loads(metadata["words"]), about)
