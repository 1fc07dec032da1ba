"""Which words have a row in the embedding table, and the table's initial values.

A network may also read n-grams: runs of two words, or of more. An n-gram is one more row of the
same table. Its name is its words with spaces between them. A text is read as its words, followed by
those of its n-grams that have a row.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
# An n-gram that occurs once in training tells nothing of other texts.
_LEAST_NGRAM_COUNT = 2
# Of the most frequent training words, English vectors cover nearly all in English text and 0.7 in
# Python code, but less than a half in French or German text.
_FREQUENT, _LEAST_COVERED = 1000, 0.5


@dataclass(frozen=True)
class Vocabulary:
    """The words of the embedding table's V rows.

    Attributes:
        words: `<pad>`, `<unk>`, the training words and n-grams (most frequent first, ties
            alphabetical and words before n-grams), then the words that only the vectors have, in
            their order.
        counts: (V,) int64, how often training text reads each row: for `<unk>` the training words
            that have no row of their own, 0 for words that only the vectors have.
        train_rows: Training touches rows [0, train_rows) only; the others keep their vectors.
        longest: Most words of an n-gram; 1: there are none.
        is_ngram: Which rows are n-grams, not words (V,).
    """

    words: list[str]
    counts: npt.NDArray[np.int64]
    train_rows: int
    longest: int
    is_ngram: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return rows_by_word(self.words)

    def encode(self, tokens: list[str]) -> list[int]:
        """See `encode`."""
        return encode(tokens, self._rows, self.longest)


def encode(tokens: list[str], rows: Mapping[str, int], longest: int) -> list[int]:
    """The row of each token, or that of `<unk>` for a token without one; then those of n-grams.

    Args:
        tokens: A text.
        rows: Word or n-gram -> row (`rows_by_word`).
        longest: Most words of an n-gram; 1: only words are read.
    """
    known = (rows[ngram] for ngram in ngrams(tokens, longest) if ngram in rows)
    return [*(rows.get(token, UNK) for token in tokens), *known]


def ngrams(tokens: list[str], longest: int) -> Iterator[str]:
    """The runs of 2 to `longest` words of a text, the shorter ones first, in their order."""
    for length in range(2, longest + 1):
        for begin in range(len(tokens) - length + 1):
            yield " ".join(tokens[begin : begin + length])


def rows_by_word(words: list[str]) -> dict[str, int]:
    """The row of each word that a text can hold."""
    # A text may contain "<pad>" itself: there it is an unknown word, not padding.
    return {word: row for row, word in enumerate(words) if row != PAD}


def build(
    train: list[list[str]],
    vectors: WordVectors,
    policy: str,
    max_size: int,
    min_count: int,
    longest: int = 1,
) -> Vocabulary:
    """Choose the words from the training text, and from the vectors if the policy says so.

    Args:
        train: The tokens of the training texts.
        vectors: The word vectors, most frequent words first.
        policy: `train` takes the training words; `train+vectors` adds the most frequent words of
            the vectors until the table has `max_size` rows.
        max_size: Most rows, `<pad>` and `<unk>` included.
        min_count: Training words and n-grams seen fewer times get no row, unless the vectors bring
            them in. An n-gram must be seen twice at least.
        longest: Most words of an n-gram; 1: there are none.

    Raises:
        InputError: No training word would have a row.
    """
    seen = Counter(chain.from_iterable(train))
    words_seen = seen.total()
    runs = _frequent_ngrams(train, longest, max(min_count, _LEAST_NGRAM_COUNT))
    runs = {run: count for run, count in runs.items() if run not in seen}
    read = {**seen, **runs}

    def by_frequency(words: Iterable[str]) -> list[str]:
        return sorted(words, key=lambda word: (-read[word], word in runs, word))

    room = max_size - len(SPECIAL)
    frequent = [w for w, count in seen.items() if count >= min_count and w not in SPECIAL]
    trained = by_frequency([*frequent, *runs])[:room]
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
    counts = np.array([0, 0, *(read.get(word, 0) for word in words[len(SPECIAL) :])], np.int64)
    is_ngram = np.array([word in runs for word in words])
    counts[UNK] = words_seen - counts[~is_ngram].sum()
    return Vocabulary(words, counts, train_rows, longest, is_ngram)


def _frequent_ngrams(train: list[list[str]], longest: int, least: int) -> dict[str, int]:
    """How often each n-gram occurs in training, of those that occur `least` times or more.

    An n-gram with `<pad>` or `<unk>` in it is left out: a text that holds such a word is read as if
    it held an unknown one.
    """
    seen = Counter(chain.from_iterable(ngrams(tokens, longest) for tokens in train))
    return {
        ngram: count
        for ngram, count in seen.items()
        if count >= least and not set(SPECIAL) & set(ngram.split(" "))
    }


def embedding_table(
    vocabulary: Vocabulary, vectors: WordVectors, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The table that a network starts from.

    `<pad>` is zero; a word has its vector, or where there is none (`<unk>` included, unless the
    vectors hold one) a draw from a normal distribution of standard deviation 0.01. An n-gram
    without a vector starts as the mean of its words' rows.

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
    drawn = ~known & ~vocabulary.is_ngram
    draws = np.random.default_rng(seed).standard_normal(
        (int(drawn.sum()), table.shape[1]), np.float32
    )
    table[drawn] = _UNSEEN_STD * draws
    table[PAD] = 0.0
    known[: len(SPECIAL)] = False
    _start_ngrams(table, vocabulary, known)
    return table, known


def _start_ngrams(
    table: npt.NDArray[np.float32], vocabulary: Vocabulary, known: npt.NDArray[np.bool_]
) -> None:
    """Write the rows of the n-grams that are not `known`."""
    rows = rows_by_word(vocabulary.words)
    for row in np.flatnonzero(vocabulary.is_ngram & ~known):
        words = vocabulary.words[row].split(" ")
        table[row] = table[[rows.get(word, UNK) for word in words]].mean(0)


def coverage_warning(vocabulary: Vocabulary, vectors: WordVectors) -> str:
    """That the vectors fit another text, if they cover hardly any frequent training word, or ""."""
    trained = range(len(SPECIAL), vocabulary.train_rows)
    words = (vocabulary.words[row] for row in trained if not vocabulary.is_ngram[row])
    frequent = list(islice(words, _FREQUENT))
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
