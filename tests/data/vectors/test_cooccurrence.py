import math
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import scipy.sparse.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from ccompress.data.vectors import cooccurrence
from ccompress.errors import InputError


def texts(seed, n=300, words=60, length=8):
    draw = np.random.default_rng(seed)
    ranks = draw.zipf(1.3, (n, length)) % words
    return [[f"w{rank}" for rank in row] for row in ranks]


def reference(train, dim, window):
    """The vectors by their definition: pairs are counted one by one, and the SVD is dense."""
    pairs = Counter()
    for tokens in train:
        for i, word in enumerate(tokens):
            for j in range(max(0, i - window), min(len(tokens), i + window + 1)):
                if i != j:
                    pairs[word, tokens[j]] += 1
    totals = Counter()
    for (word, _), count in pairs.items():
        totals[word] += count
    n = sum(pairs.values())
    words = [
        w
        for w, _ in sorted(Counter(chain.from_iterable(train)).items(), key=lambda p: (-p[1], p[0]))
    ]
    ppmi = np.array(
        [
            [
                max(0.0, math.log(pairs[w, c] * n / (totals[w] * totals[c]))) if pairs[w, c] else 0
                for c in words
            ]
            for w in words
        ]
    )
    left, singular, _ = np.linalg.svd(ppmi)
    matrix = left[:, :dim] * np.sqrt(singular[:dim])
    return words, matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.mark.parametrize("window", [1, 3, 20])
def test_agrees_with_the_definition(window):
    train = texts(0)
    words, matrix = cooccurrence.vectors(train, 10, window)
    expected_words, expected = reference(train, 10, window)
    assert words == expected_words
    # The sign of a singular vector is arbitrary.
    signs = np.sign((matrix * expected).sum(axis=0))
    np.testing.assert_allclose(matrix, expected * signs, atol=2e-5)


def test_vectors_are_repeatable_and_have_length_one():
    train = texts(1)
    _, first = cooccurrence.vectors(train, 12, 5)
    _, second = cooccurrence.vectors(train, 12, 5)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-4)


def test_words_of_different_texts_do_not_cooccur():
    texts_of_pairs = [["a", "b"], ["c", "d"], ["a", "c"], ["b", "d"]] * 3
    words, matrix = cooccurrence.vectors([*texts_of_pairs, ["lonely"]], 2, 5)
    assert not matrix[words.index("lonely")].any()
    assert matrix[words.index("a")].any()


def test_wrong_singular_vectors_are_computed_again(monkeypatch):
    # If singular values are equal, about one result of PROPACK in a hundred is off by a thousandth.
    from scipy.sparse import linalg

    train, exact = texts(2), linalg.svds
    expected = cooccurrence.vectors(train, 5, 5)[1]

    def off(*arguments, solver, **options):
        left, singular, right = exact(*arguments, solver=solver, **options)
        return left + (0.001 if solver == "propack" else 0), singular, right

    monkeypatch.setattr(linalg, "svds", off)
    np.testing.assert_allclose(cooccurrence.vectors(train, 5, 5)[1], expected, atol=2e-5)


def test_numbers_that_are_zero_up_to_rounding_are_set_to_zero(monkeypatch):
    exact = cooccurrence._truncated_svd

    def rounded(matrix, rank):
        left, singular = exact(matrix, rank)
        return np.where(left == 0, 1e-17, left), singular

    monkeypatch.setattr(cooccurrence, "_truncated_svd", rounded)
    words, matrix = cooccurrence.vectors([["a", "b"], ["c", "d"], ["a", "c"], ["lonely"]], 2, 5)
    assert not matrix[words.index("lonely")].any()


def test_fewer_independent_words_than_dimensions():
    blocks = [[f"{block}{word}" for word in "xyz"] for block in range(60)]
    words, matrix = cooccurrence.vectors(blocks, 100, 5)
    assert matrix.shape == (180, 100)
    assert np.isfinite(matrix).all()
    assert len(words) == 180


def test_too_little_text():
    with pytest.raises(InputError, match=r"at most 2 dimensions .* 3 distinct words, not 3"):
        cooccurrence.vectors([["a", "b", "c"]], 3, 5)


def test_the_solver_works_on_one_thread(monkeypatch):
    """Several threads would wait for each other in its many small products."""
    threads = []
    solve = scipy.sparse.linalg.svds

    def watched(*arguments, **options):
        threads.extend(pool["num_threads"] for pool in threadpool_info())
        return solve(*arguments, **options)

    monkeypatch.setattr(scipy.sparse.linalg, "svds", watched)
    with threadpool_limits(2):
        cooccurrence.vectors([list("abcab"), list("bcd")], 2, 5)
    assert threads
    assert {*threads} == {1}
