"""Word vectors from the training text itself: which words stand together, in few dimensions."""

from collections import Counter
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ccompress.errors import InputError

# What M v may differ from s u, relative to the largest singular value s; 1e-10 in good cases.
_ACCURACY = 1e-6
# A row of U sqrt(S) so short, relative to the longest, is zero but for rounding, which gives it
# another direction on every machine.
_ROUNDING = 1e-9


def vectors(
    train: list[list[str]], dim: int, window: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Truncated SVD of the training text's PPMI matrix M, rows scaled to unit length.

    M ~ U S V^T; word w gets row w of U sqrt(S), scaled to length 1 (Levy, Goldberg and Dagan 2015,
    sections 2.2 and 3.3: eigenvalue weighting with p = 1/2, vector normalization).

    Args:
        train: The tokens of the training texts.
        dim: d, the rank; smaller than the number n of distinct words.
        window: Words to either side that count as context.

    Returns:
        The n training words, most frequent first, ties alphabetical; and their vectors, (n, d)
        float32, zero for a word that never stands beside another.

    Raises:
        InputError: The text has d distinct words or fewer.
    """
    frequency = Counter(chain.from_iterable(train))
    words = sorted(frequency, key=lambda word: (-frequency[word], word))
    if len(words) <= dim:
        raise InputError(
            f"vectors=cooccurrence gives at most {len(words) - 1} dimensions for a training text"
            f" of {len(words)} distinct words, not {dim}; set vectors.dim lower"
        )
    index = {word: row for row, word in enumerate(words)}
    ids = np.fromiter((index[word] for word in chain.from_iterable(train)), np.int64)
    texts = np.repeat(np.arange(len(train)), [len(tokens) for tokens in train])
    left, singular = _truncated_svd(_ppmi(ids, texts, len(words), window), dim)
    order = np.argsort(-singular, kind="stable")
    matrix = left[:, order] * np.sqrt(singular[order])
    # A singular vector's sign is arbitrary: its largest entry is made positive.
    matrix *= np.sign(matrix[np.abs(matrix).argmax(axis=0), np.arange(dim)])
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    is_zero = lengths <= _ROUNDING * lengths.max()
    matrix = np.where(is_zero, 0.0, matrix / np.where(is_zero, 1.0, lengths))
    # The last bits depend on the number of threads; five decimals, as in GloVe's files, do not.
    return words, matrix.round(5).astype(np.float32)


def _ppmi(ids: npt.NDArray[np.int64], texts: npt.NDArray[np.int64], n: int, window: int) -> Any:
    """Positive pointwise mutual information of words within `window` of each other in one text.

    M_wc = max(0, log(n_wc n / (n_w n_c))), with n_wc the number of times that w and c stand so, n_w
    the sum of n_wc over c, and n the sum of all.

    Args:
        ids: (tokens,) the words of all texts, one text after the other.
        texts: (tokens,) the text that each token stands in.
        n: Number of words.
        window: Words to either side that count as context.

    Returns:
        Sparse (n, n) float64, symmetric.
    """
    from scipy.sparse import csr_array

    counts = csr_array((n, n), dtype=np.float64)
    for distance in range(1, window + 1):
        together = texts[distance:] == texts[:-distance]
        pair = ids[:-distance][together], ids[distance:][together]
        counts += csr_array((np.ones(len(pair[0])), pair), shape=(n, n))
    counts = (counts + counts.T).tocoo()
    totals = counts.sum(axis=0)
    expected = totals[counts.row] * totals[counts.col] / totals.sum()
    information = np.maximum(np.log(counts.data / expected), 0.0)
    return csr_array((information, (counts.row, counts.col)), shape=(n, n))


def _truncated_svd(
    matrix: Any, rank: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Left singular vectors (n, rank), of whatever signs, and values (rank,), in any order."""
    from scipy.sparse.linalg import svds
    from threadpoolctl import threadpool_limits

    # A start vector with no symmetry: words with like contexts span subspaces that a constant one
    # would never reach.
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    # The solvers make many small products: several threads take up to thirty times as long for them
    # where other programs use the cores.
    with threadpool_limits(1):
        # PROPACK gives up where the matrix has fewer dimensions than are asked for, and where
        # singular values are equal it is wrong once in some hundred times. ARPACK is not, but it is
        # slower.
        with suppress(np.linalg.LinAlgError):
            left, singular, right = svds(matrix, k=rank, v0=start, solver="propack")
            error = np.linalg.norm(matrix @ right.T - left * singular, axis=0).max()
            if error <= _ACCURACY * singular.max():
                return left, singular
        left, singular, _ = svds(matrix, k=rank, v0=start, solver="arpack")
        return left, singular
