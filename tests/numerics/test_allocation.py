"""The allocation of bits to tiers and columns."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from ccompress.errors import InputError
from ccompress.numerics.allocation import (
    ERRORS,
    MOST_BITS,
    STEPS,
    TIERS,
    allocate,
    check_room,
    stored_bytes,
    tiers,
)


def gaussian_error(step, bits):
    """The mean squared error on a unit Gaussian of 2^bits levels around 0 with distance `step`."""
    levels = step * (np.arange(2**bits) - (2**bits - 1) / 2)
    edges = [-np.inf, *((levels[1:] + levels[:-1]) / 2), np.inf]
    return sum(
        quad(lambda x, level=level: (x - level) ** 2 * norm.pdf(x), low, high)[0]
        for level, (low, high) in zip(levels, itertools.pairwise(edges), strict=True)
    )


@pytest.mark.parametrize("bits", range(1, MOST_BITS + 1))
def test_the_steps_and_errors_are_those_of_the_best_quantizer_of_a_gaussian(bits):
    best = minimize_scalar(lambda step: gaussian_error(step, bits), bounds=(0.1, 3))
    assert STEPS[bits] == pytest.approx(best.x, rel=1e-3)
    assert ERRORS[bits] == pytest.approx(best.fun, rel=1e-3)


def test_a_tier_holds_words_of_similar_frequency():
    counts = np.array([1000, 128, 127, 32, 31, 16, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert tiers(counts).tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 8, 8]


@st.composite
def problems(draw):
    tier_count, dim = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(0, 400), min_size=tier_count, max_size=tier_count))
    sizes[-1] += 8
    energy = np.random.default_rng(draw(st.integers(0, 9))).exponential(size=(tier_count, dim))
    weights = np.array(draw(st.lists(st.floats(0.1, 50), min_size=tier_count, max_size=tier_count)))
    return energy * 0.8 ** np.arange(dim), weights, sizes, draw(st.integers(20, 4000))


@given(problems())
@settings(max_examples=100, deadline=None)
def test_the_bytes_never_exceed_the_budget(problem):
    energy, weights, sizes, budget = problem
    try:
        bits = allocate(energy, weights, sizes, budget)
    except InputError:
        return
    assert stored_bytes(bits, sizes, energy.shape[1]) <= budget
    assert bits.any()
    assert bits.min() >= 0
    assert bits.max() <= MOST_BITS


def test_no_other_allocation_of_clearly_fewer_bytes_is_better():
    rng = np.random.default_rng(0)
    sizes = [40, 200]
    for _ in range(20):
        energy = rng.exponential(size=(2, 2)) * [1, 0.3]
        weights = np.array([5.0, 1.0])
        budget = int(rng.integers(60, 260))
        bits = allocate(energy, weights, sizes, budget)
        value = np.array(sizes)[:, None] * weights[:, None] * energy

        def error(bits, value=value):
            all_bits = np.zeros_like(value, int)
            all_bits[:, : bits.shape[1]] = bits
            return (value * np.take(ERRORS, all_bits)).sum()

        # The greedy choice may leave bytes that do not suffice for another bit of the largest tier.
        room = budget - max(sizes) // 8 - 2
        for entries in itertools.product(range(MOST_BITS + 1), repeat=4):
            other = np.array(entries).reshape(2, 2)
            other = other[:, : 1 + bool(other[:, 1].any())]
            if stored_bytes(other, sizes, 2) <= room:
                assert error(bits) <= error(other) + 1e-9


def test_frequent_words_and_strong_columns_get_more_bits():
    sizes = [100, 300, 3000]
    energy = np.ones((3, 20)) * 0.7 ** np.arange(20)
    bits = allocate(energy, np.array([20.0, 5.0, 1.0]), sizes, 4000)
    assert (np.diff(bits, axis=0) <= 0).all()
    assert (np.diff(bits, axis=1) <= 0).all()
    assert bits[0].sum() > bits[2].sum()


def test_a_rate_that_leaves_no_column_names_the_largest_that_works():
    rows, dim = 5000, 100
    with pytest.raises(InputError, match="the largest rate that works is") as error:
        check_room(rows, dim, 0.9999)
    largest = float(str(error.value).rsplit(" ", 1)[1])
    check_room(rows, dim, largest)
    sizes = [rows // TIERS] * (TIERS - 1) + [rows - rows // TIERS * (TIERS - 1)]
    budget = int((1 - largest) * 4 * rows * dim)
    assert allocate(np.ones((TIERS, dim)), np.ones(TIERS), sizes, budget).any()
    with pytest.raises(InputError, match="leave no bit"):
        allocate(np.ones((TIERS, dim)), np.ones(TIERS), sizes, 100)
