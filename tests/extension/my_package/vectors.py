"""Word vectors that sum the vectors of letter trigrams, so that similar spellings are near."""

import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ccompress.data.vectors.sources import Vectors, WordVectors


@dataclass(kw_only=True)
class Trigrams(Vectors):
    """Each trigram has a random vector, which depends only on the trigram.

    Attributes:
        dim: Numbers per word.
    """

    name: str = "trigrams"
    dim: int = 16

    def load(self, root: Path, cache: Path, train: list[list[str]]) -> WordVectors:
        """The words of the training texts, most frequent first, and their vectors."""
        words = [word for word, _ in Counter(w for tokens in train for w in tokens).most_common()]
        matrix = np.stack([self._vector(word) for word in words]).astype(np.float32)
        return WordVectors(words, matrix, frequent=len(words))

    def _vector(self, word: str) -> np.ndarray:
        marked = f"<{word}>"
        trigrams = [marked[i : i + 3] for i in range(len(marked) - 2)]
        drawn = [
            np.random.default_rng(zlib.crc32(trigram.encode())).standard_normal(self.dim)
            for trigram in trigrams
        ]
        return np.sum(drawn, axis=0) / len(trigrams) ** 0.5
