"""Which words have a row in the embedding table, and the table's initial values."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from ccompress.data.vectors.sources import WordVectors
from ccompress.errors import InputError

# Rows of the table: what fills sentences up, always exact zeros; and any word without a row.
PAD, UNK = 0, 1
SPECIAL = ["<pad>", "<unk>"]

# Standard deviation of what a word without a vector starts from. GloVe's numbers have about 0.4: a
# word that training never meets should hardly move a sentence's mean, yet words should differ.
_UNSEEN_STD = 0.01
# Of the most frequent training words, English vectors cover nearly all in English text and 0.7 in
# Python code, but less than a half in French or German text.
_FREQUENT, _LEAST_COVERED = 1000, 0.5


@dataclass(frozen=True)
class Vocabulary:
    """The words of the embedding table's V rows.

    Attributes:
        words: `<pad>`, `<unk>`, the training words (most frequent first, ties alphabetical), then
            the words that only the vectors have, in their order.
        counts: (V,) int64, how often training text reads each row: for `<unk>` the training words
            that have no row of their own, 0 for words that only the vectors have.
        train_rows: Training touches rows [0, train_rows) only; the others keep their vectors.
    """

    words: list[str]
    counts: npt.NDArray[np.int64]
    train_rows: int

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return rows_by_word(self.words)

    def encode(self, tokens: list[str]) -> list[int]:
        """The row of each token, or that of `<unk>` for a token without one."""
        rows = self._rows
        return [rows.get(token, UNK) for token in tokens]


def rows_by_word(words: list[str]) -> dict[str, int]:
    """The row of each word that a text can hold."""
    # A text may contain "<pad>" itself: there it is an unknown word, not padding.
    return {word: row for row, word in enumerate(words) if row != PAD}


def build(
    train: list[list[str]], vectors: WordVectors, policy: str, max_size: int, min_count: int
) -> Vocabulary:
    """Choose the words from the training text, and from the vectors if the policy says so.

    Args:
        train: The tokens of the training texts.
        vectors: The word vectors, most frequent words first.
        policy: `train` takes the training words; `train+vectors` adds the most frequent words of
            the vectors until the table has `max_size` rows.
        max_size: Most rows, `<pad>` and `<unk>` included.
        min_count: Training words seen fewer times get no row, unless the vectors bring them in.

    Raises:
        InputError: No training word would have a row.
    """
    seen = Counter(chain.from_iterable(train))

    def by_frequency(words: Iterable[str]) -> list[str]:
        return sorted(words, key=lambda word: (-seen[word], word))

    room = max_size - len(SPECIAL)
    frequent = [w for w, count in seen.items() if count >= min_count and w not in SPECIAL]
    trained = by_frequency(frequent)[:room]
    added: list[str] = []
    if policy == "train+vectors":
        taken = {*SPECIAL, *trained}
        new = (word for word in vectors.words[: vectors.frequent] if word not in taken)
        added = list(islice(new, room - len(trained)))
        # Training reads, and so changes, words below min_count that the vectors bring in.
        trained += by_frequency(word for word in added if word in seen)
        added = [word for word in added if word not in seen]
    if not trained:
        raise InputError(f"no training word occurs {min_count} times or more; lower min_count")
    words = [*SPECIAL, *trained, *added]
    train_rows = len(SPECIAL) + len(trained)
    counts = np.array([0, 0, *(seen[word] for word in words[len(SPECIAL) :])], np.int64)
    counts[UNK] = seen.total() - counts.sum()
    return Vocabulary(words, counts, train_rows)


def embedding_table(
    vocabulary: Vocabulary, vectors: WordVectors, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The table that a network starts from.

    `<pad>` is zero; a word has its vector, or where there is none (`<unk>` included, unless the
    vectors hold one) a draw from a normal distribution of standard deviation 0.01.

    Args:
        vocabulary: V words.
        vectors: Their vectors, d numbers each.
        seed: Of the draws.

    Returns:
        The (V, d) float32 table, and which words have a vector (V,); `<pad>` and `<unk>` never do,
        because they stand for other words.
    """
    source = {word: row for row, word in enumerate(vectors.words)}
    rows = np.array([source.get(word, -1) for word in vocabulary.words])
    rows[PAD] = -1
    known = rows >= 0
    table = np.empty((len(rows), vectors.matrix.shape[1]), np.float32)
    table[known] = vectors.matrix[rows[known]]
    draws = np.random.default_rng(seed).standard_normal(
        (int((~known).sum()), table.shape[1]), np.float32
    )
    table[~known] = _UNSEEN_STD * draws
    table[PAD] = 0.0
    known[: len(SPECIAL)] = False
    return table, known


def coverage_warning(vocabulary: Vocabulary, vectors: WordVectors) -> str:
    """That the vectors fit another text, if they cover hardly any frequent training word, or ""."""
    frequent = vocabulary.words[len(SPECIAL) : vocabulary.train_rows][:_FREQUENT]
    known = set(vectors.words)
    lacking = [word for word in frequent if word not in known]
    covered = len(frequent) - len(lacking)
    if not known or covered >= _LEAST_COVERED * len(frequent):
        return ""
    seen = set(frequent)
    theirs = sorted(vectors.words[:_FREQUENT], key=lambda word: word in seen)
    return (
        f"{covered:,} of the {len(frequent):,} most frequent training words have a vector; the"
        f" text has {_shown(lacking)}, the vectors have {_shown(theirs)}: do they differ in case or"
        " language?"
    )


def _shown(words: list[str]) -> str:
    return ", ".join(map(repr, words[:3]))
