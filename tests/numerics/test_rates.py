from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccompress.errors import InputError
from ccompress.numerics.rates import (
    bytes_per_row,
    codebook_bits,
    kept_fraction,
    quantized_bits,
    rank_of_byte_factors,
    rank_of_factors,
    rank_of_projection,
    subvectors,
)


@settings(deadline=None)
@given(st.integers(0, 9999))
def test_the_kept_fraction_of_a_decimal_rate_is_exact(digits):
    assert kept_fraction(float(f"0.{digits:04d}")) == Fraction(10_000 - digits, 10_000)


def test_binary_floating_point_does_not_change_a_rank():
    assert int((1 - 0.9) * 300) == 29
    assert rank_of_projection(300, 0.9) == 30


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, float("nan"), float("inf"), "x", None, True])
def test_other_values_than_rates_are_refused(rate):
    with pytest.raises(InputError, match="0 <= rate < 1"):
        kept_fraction(rate)


def test_rank_of_the_worked_example():
    assert rank_of_factors(10_000, 300, 0.9) == 29
    assert rank_of_factors(10_000, 300, 0.897) == 30  # 309,000 of 3,000,000 numbers


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(0, 999))
def test_rank_of_factors_is_the_largest_that_fits(rows, dim, thousandths):
    rate = thousandths / 1000
    budget = Fraction(1000 - thousandths, 1000) * rows * dim
    try:
        rank = rank_of_factors(rows, dim, rate)
    except InputError:
        fits = int(budget // (rows + dim))
        assert fits == 0 or fits * (rows + dim) == rows * dim
    else:
        assert rank * (rows + dim) <= budget < (rank + 1) * (rows + dim)
        assert rank * (rows + dim) < rows * dim


@settings(deadline=None)
@given(st.integers(2, 10**6), st.integers(3, 1000))
def test_the_largest_rate_that_the_error_names_works(rows, dim):
    with pytest.raises(InputError, match="no rank for factors") as error:
        rank_of_factors(rows, dim, 0.99999)
    largest = float(str(error.value).rsplit(" ", 1)[1])
    assert rank_of_factors(rows, dim, largest) >= 1
    with pytest.raises(InputError):
        rank_of_factors(rows, dim, round(largest + 0.00001, 5))


def test_impossible_ranks_are_refused():
    with pytest.raises(InputError, match=r"the largest rate that works is 0\.99$"):
        rank_of_projection(100, 0.991)
    with pytest.raises(InputError, match="every other rate"):
        rank_of_factors(2, 2, 0.0)
    with pytest.raises(InputError, match="no smaller than a table of 3 x 6"):
        rank_of_factors(3, 6, 0)  # rank 2 is exactly break-even


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.0001, 31), (0.1, 28), (0.5, 16), (0.75, 8), (0.9, 3), (0.95, 1), (0.96875, 1)],
)
def test_bits_of_a_rate(rate, expected):
    assert quantized_bits(100, 300, rate) == expected


def test_bits_of_other_widths():
    assert quantized_bits(100, 300, 0.5, width=16) == 8
    assert quantized_bits(100, 300, 0, width=64) == 32
    with pytest.raises(InputError, match=r"works is 0\.9375$"):
        quantized_bits(100, 300, 0.95, width=16)


@pytest.mark.parametrize(
    ("rows", "dim", "rate", "width", "size", "table"),
    [
        (50, 1, 0.1, 32, 208, 200),
        (50, 1, 0.1, 16, 104, 100),
        (200, 24, 0, 32, 19208, 19200),
        (2, 1, 0.75, 32, 10, 8),
    ],
)
def test_bits_that_make_nothing_smaller_are_refused(rows, dim, rate, width, size, table):
    """Rows take whole bytes, and the two ends of the range take bytes too."""
    with pytest.raises(InputError, match=f"{size:,} bytes of {table:,} .* nothing gets smaller"):
        quantized_bits(rows, dim, rate, width)
    assert quantized_bits(rows + 9, dim, 0.75, width) == width // 4


def test_the_error_of_a_rate_that_leaves_no_bit_names_the_largest_rate():
    with pytest.raises(InputError, match=r"rate=0\.97 leaves no bit of 32.* is 0\.96875$"):
        quantized_bits(100, 300, 0.97)


# The bytes of each size, as the tests of the embeddings measure them, and the largest useful size.
BYTES = {
    rank_of_byte_factors: (lambda k, rows, dim: k * (rows + dim + 4) + 16, lambda dim: dim),
    codebook_bits: (lambda b, rows, dim: rows * bytes_per_row(b, dim) + 4 * 2**b, lambda dim: 16),
    subvectors: (lambda n, rows, dim: rows * n + 4 * 256 * dim, lambda dim: dim),
}


@pytest.mark.parametrize("largest_size", BYTES)
@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(0, 999))
def test_sizes_with_codebooks_are_the_largest_that_fit(largest_size, rows, dim, thousandths):
    size, largest = BYTES[largest_size]
    budget = Fraction(1000 - thousandths, 1000) * 4 * rows * dim
    try:
        left = largest_size(rows, dim, thousandths / 1000)
    except InputError:
        assert size(1, rows, dim) > budget
    else:
        assert 1 <= left <= largest(dim)
        assert size(left, rows, dim) <= budget
        assert left == largest(dim) or size(left + 1, rows, dim) > budget


@pytest.mark.parametrize("largest_size", BYTES)
@settings(deadline=None)
@given(st.integers(300, 10**6), st.integers(3, 1000))
def test_the_largest_rate_of_sizes_with_codebooks_works(largest_size, rows, dim):
    with pytest.raises(InputError) as error:
        largest_size(rows, dim, 0.99999)
    largest = float(str(error.value).rsplit(" ", 1)[1])
    assert largest_size(rows, dim, largest) >= 1
    with pytest.raises(InputError):
        largest_size(rows, dim, round(largest + 0.00001, 5))


@pytest.mark.parametrize(("rows", "dim"), [(10_000, 300), (15_000, 300), (100_000, 300)])
def test_byte_factors_have_the_rank_of_float_factors_with_four_times_the_bytes(rows, dim):
    assert rank_of_byte_factors(rows, dim, 0.975) == rank_of_factors(rows, dim, 0.9)
    assert rank_of_byte_factors(rows, dim, 0.5) == dim


def test_a_table_too_small_for_its_codebook_has_no_rate():
    with pytest.raises(InputError, match=r"no code for 256 x 300 .* every other rate"):
        subvectors(256, 300, 0)
    assert subvectors(258, 300, 0) == 9  # (309,600 - 307,200) / 258
