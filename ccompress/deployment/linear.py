"""A linear classifier over TF-IDF of words and word pairs, as one file without pickle.

`ccompress.baselines.tfidf` trains it. Reading text needs no scikit-learn.
"""

import functools
import lzma
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ccompress import storage
from ccompress.data.base import Columns
from ccompress.data.text import word_list
from ccompress.data.text.vocabulary import ngrams
from ccompress.deployment import file_contents
from ccompress.deployment.classifier import Classifier
from ccompress.errors import InputError

KIND = "tfidf"

_IDF_LEVELS = 255

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class LinearModel(Classifier):
    """A stored baseline.

    With two classes there is one column of weights, whose sign decides. With more classes there is
    one column per class.

    Attributes:
        ngrams: F words and pairs of words, sorted. A space joins the words of a pair.
        idf: The inverse document frequency of each, rounded to its stored value (F,).
        weights: The rounded weights, -levels to levels, int8 (F, columns).
        scale: The value of one level in each column (columns,).
        bias: The bias of each column (columns,).
        labels: Names of the classes.
        tokenizer: See `Classifier`.
        columns: See `Classifier`.
    """

    ngrams: list[str]
    idf: Matrix
    weights: npt.NDArray[np.int8]
    scale: Matrix
    bias: Matrix
    labels: list[str]
    tokenizer: str
    columns: Columns | None = None

    @property
    def kind(self) -> str:
        """See `Classifier.kind`."""
        return f"TF-IDF and a linear classifier over {len(self.ngrams):,} words and pairs"

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {ngram: row for row, ngram in enumerate(self.ngrams)}

    def scores(self, texts: Sequence[list[str]]) -> Matrix:
        """The score of each class for each tokenized text (texts, classes).

        An n-gram that stands c times in a text has the value (1 + log c) idf. The vector of a text
        has length 1. (That is scikit-learn's TfidfVectorizer with `sublinear_tf`.) The first of two
        classes has the score 0.
        """
        scores = np.tile(self.bias, (len(texts), 1))
        for row, tokens in zip(scores, texts, strict=True):
            found = chain(tokens, ngrams(tokens, 2))
            counts = Counter(self._rows[ngram] for ngram in found if ngram in self._rows)
            if not counts:
                continue
            features = np.fromiter(counts, np.int64)
            values = (1 + np.log(np.fromiter(counts.values(), np.float64))) * self.idf[features]
            row += values / np.linalg.norm(values) @ self.weights[features] * self.scale
        return scores if len(self.bias) > 1 else np.hstack([np.zeros_like(scores), scores])

    def scored(self, texts: Sequence[list[str]]) -> Tensor:
        """See `Classifier.scored`."""
        return torch.from_numpy(self.scores(texts)).softmax(1).float()

    def save(self, path: Path) -> int:
        """Write the model atomically and return the size of the file in bytes."""
        lowest, step = self.idf.min(), np.ptp(self.idf) / _IDF_LEVELS or 1.0
        about: dict[str, Any] = {"labels": self.labels, "tokenizer": self.tokenizer}
        if self.columns:
            about["columns"] = self.columns._asdict()
        tensors = {
            "ngrams": word_list.pack(self.ngrams),
            "idf": np.rint((self.idf - lowest) / step).astype(np.uint8),
            "idf_range": np.array([lowest, step], np.float32),
            "weights": _compressed(np.ascontiguousarray(self.weights.T).tobytes()),
            "scale": self.scale.astype(np.float32),
            "bias": self.bias.astype(np.float32),
            file_contents.ABOUT: file_contents.packed_about(about),
        }
        storage.save(path, tensors, {"kind": KIND})
        return path.stat().st_size

    @classmethod
    def load(cls, path: Path) -> "LinearModel":
        """Read a file that `save` wrote.

        Raises:
            InputError: The file is damaged or holds no baseline.
        """
        stored = file_contents.opened(path)
        if not is_linear(stored):
            raise InputError(f"{path} holds no TF-IDF baseline")
        return from_file(stored, path)


def is_linear(stored: file_contents.Stored) -> bool:
    """Whether a file holds a linear classifier."""
    return stored.metadata.get("kind") == KIND


def from_file(stored: file_contents.Stored, path: Path) -> LinearModel:
    """The linear classifier that an opened file holds.

    Raises:
        InputError: The file is not whole, or from a version that stored no tokenizer.
    """
    tensors = {name: tensor.numpy() for name, tensor in stored.tensors.items()}
    if file_contents.ABOUT not in tensors:
        raise InputError(
            f"{path} is a baseline of an earlier version, which stored no tokenizer: "
            "`ccompress baseline` writes it again"
        )
    about = file_contents.unpacked_about(tensors[file_contents.ABOUT])
    lowest, step = (float(number) for number in tensors["idf_range"])
    weights = np.frombuffer(lzma.decompress(tensors["weights"].tobytes()), np.int8)
    return LinearModel(
        word_list.unpack(tensors["ngrams"]),
        lowest + tensors["idf"] * step,
        weights.reshape(len(tensors["scale"]), -1).T,
        tensors["scale"].astype(np.float64),
        tensors["bias"].astype(np.float64),
        about["labels"],
        about["tokenizer"],
        file_contents.columns_of(about),
    )


def _compressed(contents: bytes) -> npt.NDArray[np.uint8]:
    """Bytes compressed with LZMA, in the old format, which stores no checksums."""
    return np.frombuffer(lzma.compress(contents, lzma.FORMAT_ALONE, preset=9), np.uint8)
