"""Word vectors that initialise the embedding table: from files, from the training text, or none."""

import functools
import hashlib
import itertools
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccompress import storage
from ccompress.data.vectors import cooccurrence, glove, imdb_glove, vector_file
from ccompress.errors import InputError, MissingData, one_line

logger = logging.getLogger(__name__)

Matrix = npt.NDArray[np.float32]

# A subset file holds the most frequent words of the whole first, then words picked because some
# data set has them, test words included: a vocabulary may not be built from those.
_SUBSET_FREQUENT = 60_000


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors.

    Attributes:
        words: n distinct words, most frequent first where the source says so.
        matrix: (n, d) float32; row i is the vector of `words[i]`.
        frequent: How many leading words a vocabulary may be built from.
        sha256: Of the contents of the file they come from; empty where there is none.
    """

    words: list[str]
    matrix: Matrix
    frequent: int
    sha256: str = ""


@dataclass(kw_only=True)
class Vectors(ABC):
    """A source of word vectors; the fields of a subclass are the options of its YAML file.

    Attributes:
        name: The source's name on the command line and in results.
        dim: Numbers per word; None takes what the source has.
    """

    name: str
    dim: int | None

    @abstractmethod
    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """Read or compute the vectors.

        Args:
            root: The data root.
            cache: Folder for what took long to read or compute.
            train: The tokens of the training texts.

        Raises:
            InputError: There are no such vectors, or the file that holds them is at fault.
        """

    def files(self, root: Path) -> dict[str, Path]:
        """Option name -> file that is read, whose contents identify a run.

        Raises:
            MissingData: A file that belongs into the data root is not there.
        """
        return {}

    def resolve(self, default: str) -> "Vectors":
        """The vectors for a data set whose `vectors` is `default`: these, for any."""
        return self


@dataclass(kw_only=True)
class Auto:
    """Each data set's own vectors.

    Attributes:
        name: The option's name.
        path: A file to take the place of GloVe; data sets with synthetic text keep their own.
        dim: Numbers per word; None is 100 for GloVe, the file's for a file, 300 for cooccurrence.
    """

    name: str = "auto"
    path: str | None = None
    dim: int | None = None

    def resolve(self, default: str) -> Vectors:
        """The source that a data set's `vectors` names.

        Args:
            default: `glove` or `cooccurrence`.

        Raises:
            InputError: `default` is neither.
        """
        if default == "glove":
            if self.path is not None:
                return File(path=self.path, dim=self.dim)
            return Glove() if self.dim is None else Glove(dim=self.dim)
        if default == "cooccurrence":
            return Cooccurrence() if self.dim is None else Cooccurrence(dim=self.dim)
        raise InputError(f"a data set's vectors must be 'glove' or 'cooccurrence', not {default!r}")


@dataclass(kw_only=True)
class ImdbGlove:
    """The vectors of the committed results: `imdb-glove.300d` where `Auto` takes GloVe.

    Attributes:
        name: The option's name.
    """

    name: str = "imdb_glove300"

    def resolve(self, default: str) -> Vectors:
        """The source for a data set whose `vectors` is `default`; see `Auto.resolve`.

        Raises:
            MissingData: The file is needed, and we neither run from a clone nor stand in one.
        """
        if default != "glove":
            return Auto().resolve(default)
        if path := imdb_glove.path():
            return File(path=str(path))
        raise MissingData(
            others=[
                f"the vectors {imdb_glove.NAME} are in the source repository, not in the installed"
                " package: clone the repository and run in the clone, or take the paper's own"
                " vectors with vectors=glove300 (ccompress data fetch glove)"
            ]
        )


@dataclass(kw_only=True)
class File(Vectors):
    """Vectors of a text file: GloVe's format or word2vec's with its header line, plain or gzip.

    Attributes:
        path: The file.
        dim: Numbers per word that the file must have; None takes the file's.
    """

    name: str = "file"
    path: str | None
    dim: int | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("vectors=file needs vectors.path=FILE, a file of word vectors")

    def files(self, root: Path) -> dict[str, Path]:
        """The file named by the user."""
        return {"path": storage.expanded(self.path or "")}

    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """Read the file, or what an earlier reading of the same contents left in `cache`."""
        return _from_file(self.files(root)["path"], self.dim, cache)


@dataclass(kw_only=True)
class Glove(Vectors):
    """GloVe 6B (Pennington, Socher and Manning 2014): 400,000 words of Wikipedia and Gigaword.

    Attributes:
        dim: 50, 100, 200 or 300.
    """

    name: str = "glove"
    dim: int = 100

    def __post_init__(self) -> None:
        if self.dim not in glove.DIMENSIONS:
            raise InputError(
                f"glove has no vectors of dimension {self.dim}; vectors.dim must be one of"
                f" {', '.join(map(str, glove.DIMENSIONS))}"
            )

    def files(self, root: Path) -> dict[str, Path]:
        """The file in the data root or its folder `vectors`, the whole one before a subset."""
        try:
            return {"path": glove.SOURCE.find(root, *glove.SOURCE.parts[f"{self.dim}d"])}
        except MissingData as error:
            instead = "set vectors=cooccurrence, which computes vectors from the training text"
            raise MissingData(error.root, error.names, instead=[instead]) from error

    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """Read the file, or what an earlier reading of the same contents left in `cache`."""
        return _from_file(self.files(root)["path"], self.dim, cache)


@dataclass(kw_only=True)
class Cooccurrence(Vectors):
    """Vectors computed from the training text: truncated SVD of its PPMI matrix.

    Attributes:
        dim: Numbers per word; at most the number of distinct training words less one.
        window: Words to either side that count as context.
    """

    name: str = "cooccurrence"
    dim: int = 300
    window: int = 5

    def __post_init__(self) -> None:
        for option in ("dim", "window"):
            if getattr(self, option) < 1:
                raise InputError(
                    f"vectors.{option} must be at least 1, not {getattr(self, option)}"
                )

    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """Compute the vectors or take them from `cache`; a warning says if `dim` is too large."""
        distinct = len(set(itertools.chain.from_iterable(train)))
        dim = max(min(self.dim, distinct - 1), 1)
        if dim < self.dim:
            logger.warning(
                f"vectors=cooccurrence has {dim} dimensions here, not {self.dim}, because the"
                f" training text has {distinct} distinct words"
            )
        key = hashlib.sha256(json.dumps([dim, self.window, train]).encode()).hexdigest()
        words, matrix = _cached(
            cache / f"cooccurrence-{key}.safetensors",
            lambda: cooccurrence.vectors(train, dim, self.window),
        )
        return WordVectors(words, matrix, frequent=len(words))


@dataclass(kw_only=True)
class Random(Vectors):
    """No pretrained vectors: every word starts from the small normal of a word without one.

    Attributes:
        dim: Numbers per word.
    """

    name: str = "random"
    dim: int = 300

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"vectors.dim must be at least 1, not {self.dim}")

    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """No words, and their dimension."""
        return WordVectors([], np.zeros((0, self.dim), np.float32), frequent=0)


def _from_file(path: Path, dim: int | None, cache: Path) -> WordVectors:
    """The vectors of a text file, which must have `dim` numbers a word unless that is None."""
    try:
        sha256 = storage.contents_sha256(path)
    except OSError as error:
        raise InputError(f"cannot read the vectors file {path}: {error.strerror}") from error
    stored = cache / f"vectors-{vector_file.FORMAT}-{sha256}.safetensors"
    words, matrix = _cached(stored, lambda: vector_file.read(path))
    if dim not in (None, matrix.shape[1]):
        raise InputError(
            f"{path} holds vectors of dimension {matrix.shape[1]}, not {dim}; leave out"
            f" vectors.dim or set it to {matrix.shape[1]}"
        )
    frequent = _SUBSET_FREQUENT if ".subset." in path.name else len(words)
    return WordVectors(words, matrix, min(frequent, len(words)), sha256)


def _cached(
    stored: Path, compute: Callable[[], tuple[list[str], Matrix]]
) -> tuple[list[str], Matrix]:
    """What `compute` gives, from the file `stored` if it is whole, else stored there.

    Where nothing can be stored, as in a read-only home, it is computed each time.
    """

    def pack(made: tuple[list[str], Matrix]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
        words, matrix = made
        return {"words": storage.json_array(words), "matrix": matrix}, {}

    def unpack(file: storage.TensorFile) -> tuple[list[str], Matrix]:
        words, matrix = storage.from_json_array(file.array("words")), file.array("matrix")
        if len(words) != len(matrix):
            raise storage.DamagedFile(f"{stored} has {len(words)} words for {len(matrix)} vectors")
        return words, matrix

    once = functools.cache(compute)
    try:
        return storage.made_once(stored, once, pack, unpack)
    except OSError as error:
        logger.warning("vectors cannot be kept for later runs: %s", one_line(error))
        return once()
