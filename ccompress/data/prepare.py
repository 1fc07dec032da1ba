"""Turn a data set and vectors into integers and a table, once; later runs read the result."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ccompress import storage
from ccompress.data.base import Dataset, Examples, Splits
from ccompress.data.batches import Encoded
from ccompress.data.text import vocabulary
from ccompress.data.vectors.sources import Vectors, WordVectors

# `ccompress data` imports every module of this folder, and does without torch's two seconds.
if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

# Raise it whenever a change alters what is prepared from the same data, or how it is stored.
_FORMAT = 4
# Vectors are data: words without one start the same in every run, whatever its seed.
_VECTORS_SEED = 0
_FIELDS = ("tokens", "lengths", "labels")  # of `Encoded`


@dataclass(frozen=True)
class Prepared:
    """What training reads.

    Attributes:
        table: The embedding table that training starts with (V, d), float32; row 0 `<pad>`, row 1
            `<unk>`.
        words: The word of each row.
        counts: How often each row's word occurs in train (V,), int64.
        train_rows: Training touches only the rows before this one.
        with_vector: Number of words that have a pretrained vector.
        tokens_with_vector: Fraction of the tokens of train whose word has a row with such a vector.
        vectors_sha256: Of the file that the vectors were read from, or "".
        labels: Names of the classes, in the order of their numbers.
        splits: `train`, `dev` and `test`, on the CPU, their tokens int32.
        warning: What is odd about the vectors, in one line, or "".

    Raises:
        ValueError: The words or their counts are not as many as the rows, or the tokens of a split
            not as many as the sum of its lengths.
    """

    table: Tensor
    words: list[str]
    counts: Tensor
    train_rows: int
    with_vector: int
    tokens_with_vector: float
    vectors_sha256: str
    labels: list[str]
    splits: dict[str, Encoded]
    warning: str

    def __post_init__(self) -> None:
        rows = len(self.table)
        if not len(self.words) == len(self.counts) == rows:
            raise ValueError(f"{len(self.words)} words, {len(self.counts)} counts, {rows} rows")
        for name, split in self.splits.items():
            if len(split.tokens) != split.lengths.sum() or len(split.labels) != len(split):
                raise ValueError(f"the parts of the {name} split do not fit together")


def prepare(
    dataset: Dataset,
    vectors: Vectors,
    *,
    policy: str,
    max_size: int,
    min_count: int,
    longest: int = 1,
    root: Path,
    cache: Path,
    vectors_cache: Path,
    identity: Mapping[str, Any],
) -> Prepared:
    """Read, tokenize and encode `dataset`, and build its table from `vectors`.

    A warning says when the vectors cover hardly any word of the training text.

    Args:
        dataset: The data set.
        vectors: Its vectors.
        policy: Vocabulary policy, `train` or `train+vectors`.
        max_size: Most rows of the table.
        min_count: Training words seen fewer times become `<unk>`.
        longest: Most words of an n-gram that gets a row; 1: only words do.
        root: The data root.
        cache: Folder of stored results, made when it is not there.
        vectors_cache: Folder of whole sets of vectors, of which a result holds the rows it uses.
        identity: What the result depends on (options, checksums of files); equal identities share
            one stored result.

    Raises:
        InputError: The data set or the vectors cannot be read.
    """
    key = json.dumps({**identity, "format": _FORMAT}, sort_keys=True)
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def make() -> Prepared:
        splits = dataset.load(root)
        word_vectors = vectors.load(root, vectors_cache, splits.train.tokens)
        vocab = vocabulary.build(
            splits.train.tokens, word_vectors, policy, max_size, min_count, longest
        )
        return _prepared(splits, word_vectors, vocab)

    prepared = storage.made_once(path, make, _packed, _unpacked)
    if prepared.warning:
        logger.warning(prepared.warning)
    return prepared


def _prepared(splits: Splits, word_vectors: WordVectors, vocab: vocabulary.Vocabulary) -> Prepared:
    """The splits as integers, and the table."""
    import torch

    table, known = vocabulary.embedding_table(vocab, word_vectors, _VECTORS_SEED)
    words = np.where(vocab.is_ngram, 0, vocab.counts)  # how often training reads each word
    labels = sorted(set(splits.train.labels))
    number = {label: index for index, label in enumerate(labels)}

    def encode(examples: Examples) -> Encoded:
        rows = [vocab.encode(tokens) for tokens in examples.tokens]
        tokens = np.fromiter((row for sentence in rows for row in sentence), np.int32)
        return Encoded(
            tokens=torch.from_numpy(tokens),
            lengths=torch.tensor([len(sentence) for sentence in rows]),
            labels=torch.tensor([number[label] for label in examples.labels]),
        )

    return Prepared(
        table=torch.from_numpy(table),
        words=vocab.words,
        counts=torch.from_numpy(vocab.counts),
        train_rows=vocab.train_rows,
        with_vector=int(known.sum()),
        tokens_with_vector=float(words[known].sum() / words.sum()),
        vectors_sha256=word_vectors.sha256,
        labels=labels,
        splits={name: encode(getattr(splits, name)) for name in ("train", "dev", "test")},
        warning=vocabulary.coverage_warning(vocab, word_vectors),
    )


def _packed(
    prepared: Prepared,
) -> tuple[dict[str, np.ndarray[Any, Any] | Tensor], dict[str, str]]:
    """`prepared` as tensors and metadata."""
    tensors: dict[str, np.ndarray[Any, Any] | Tensor] = {
        "table": prepared.table,
        "counts": prepared.counts,
        "words": storage.json_array(prepared.words),
    }
    for name, split in prepared.splits.items():
        for field in _FIELDS:
            tensors[f"{name}.{field}"] = getattr(split, field)
    metadata = {
        "train_rows": str(prepared.train_rows),
        "with_vector": str(prepared.with_vector),
        "tokens_with_vector": str(prepared.tokens_with_vector),
        "vectors_sha256": prepared.vectors_sha256,
        "labels": json.dumps(prepared.labels),
        "warning": prepared.warning,
    }
    return tensors, metadata


def _unpacked(file: storage.TensorFile) -> Prepared:
    """The inverse of `_packed`."""
    metadata = file.metadata
    try:
        return Prepared(
            table=file["table"],
            words=storage.from_json_array(file.array("words")),
            counts=file["counts"],
            train_rows=int(metadata["train_rows"]),
            with_vector=int(metadata["with_vector"]),
            tokens_with_vector=float(metadata["tokens_with_vector"]),
            vectors_sha256=metadata["vectors_sha256"],
            labels=json.loads(metadata["labels"]),
            splits={
                name: Encoded(*(file[f"{name}.{field}"] for field in _FIELDS))
                for name in ("train", "dev", "test")
            },
            warning=metadata["warning"],
        )
    except ValueError as error:
        raise storage.DamagedFile(f"prepared data do not fit together: {error}") from error
