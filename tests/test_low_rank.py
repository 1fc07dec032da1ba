from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ccompress.errors import InputError
from ccompress.low_rank import (
    BLOCK,
    factorize,
    kept,
    project,
    rank_of_factors,
    rank_of_projection,
    relative_error,
    spectrum,
)


def random_table(rows, dim, dtype=torch.float64, seed=0, smallest=1e-2):
    """A table with known, well separated singular values, largest first."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(rows, dim)))
    right, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    values = np.geomspace(10.0, 10.0 * smallest, dim)
    return torch.tensor((left * values) @ right).to(dtype), values


def truncated(table, rank):
    u, s, vt = np.linalg.svd(table.double().numpy(), full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


@settings(deadline=None)
@given(st.integers(0, 9999))
def test_kept_is_exact_for_decimal_rates(digits):
    assert kept(float(f"0.{digits:04d}")) == Fraction(10_000 - digits, 10_000)


def test_kept_defeats_binary_floating_point():
    assert int((1 - 0.9) * 300) == 29
    assert rank_of_projection(300, 0.9) == 30


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, float("nan"), float("inf"), "x", None, True])
def test_kept_refuses_what_is_not_a_rate(rate):
    with pytest.raises(InputError, match="0 <= rate < 1"):
        kept(rate)


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
    named = float(str(error.value).rsplit(" ", 1)[1])
    assert rank_of_factors(rows, dim, named) >= 1
    with pytest.raises(InputError):
        rank_of_factors(rows, dim, round(named + 0.00001, 5))


def test_errors_of_ranks():
    with pytest.raises(InputError, match=r"the largest rate that works is 0\.99$"):
        rank_of_projection(100, 0.991)
    with pytest.raises(InputError, match="every other rate"):
        rank_of_factors(2, 2, 0.0)
    with pytest.raises(InputError, match="no smaller than a table of 3 x 6"):
        rank_of_factors(3, 6, 0)  # rank 2 is exactly break-even


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("rank", [1, 7, 20])
def test_factorize_is_the_balanced_truncated_svd(dtype, tolerance, rank):
    table, values = random_table(300, 20, dtype)
    A, B = factorize(table, rank)
    assert (A.shape, B.shape, A.dtype, B.dtype) == ((300, rank), (rank, 20), dtype, dtype)
    norm = np.linalg.norm(values)
    assert np.linalg.norm((A @ B).double().numpy() - truncated(table, rank)) < tolerance * norm
    S_k = np.diag(values[:rank])
    np.testing.assert_allclose(A.double().T @ A.double(), S_k, atol=10 * tolerance)
    np.testing.assert_allclose(B.double() @ B.double().T, S_k, atol=10 * tolerance)


def test_full_rank_reproduces_the_table():
    table, _ = random_table(50, 8, smallest=1e-4)
    A, B = factorize(table, 8)
    torch.testing.assert_close(A @ B, table, rtol=0, atol=1e-12)


def test_project_gives_left_singular_vectors_times_values():
    table, values = random_table(200, 12)
    projected = project(table, 5)
    u, s, _ = np.linalg.svd(table.numpy(), full_matrices=False)
    np.testing.assert_allclose(projected.abs(), np.abs(u[:, :5] * s[:5]), atol=1e-10)
    np.testing.assert_allclose(projected.norm(dim=0), values[:5], rtol=1e-12)


def test_spectrum_and_its_closed_form_of_the_error():
    table, values = random_table(200, 12)
    np.testing.assert_allclose(spectrum(table), values, rtol=1e-9)
    A, B = factorize(table, 4)
    expected = np.linalg.norm(values[4:]) / np.linalg.norm(values)
    assert relative_error(table, lambda rows: A[rows] @ B) == pytest.approx(expected, rel=1e-9)


def test_blocks_of_rows_change_nothing():
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(2 * BLOCK + 3, 4, generator=generator, dtype=torch.float64)
    A, B = factorize(table, 4)
    torch.testing.assert_close(A @ B, table, rtol=0, atol=1e-12)
    assert relative_error(table, lambda rows: A[rows] @ B) < 1e-12


def test_signs_are_settled():
    table, _ = random_table(60, 6)
    _, B = factorize(table, 6)
    assert (B.gather(1, B.abs().argmax(1, keepdim=True)) > 0).all()
    _, flipped = factorize(-table, 6)
    torch.testing.assert_close(B, flipped)


def test_zero_rows_stay_exactly_zero():
    table, _ = random_table(30, 6, torch.float32)
    table[0] = 0
    A, _ = factorize(table, 3)
    assert not A[0].any()
    assert not project(table, 3)[0].any()


@pytest.mark.parametrize("rows", [3, 40])
def test_a_rank_deficient_table_gives_finite_factors(rows):
    generator = torch.Generator().manual_seed(2)
    thin = torch.randn(rows, 2, generator=generator)
    table = thin @ torch.randn(2, 6, generator=generator)
    A, B = factorize(table, 5)
    assert A.isfinite().all()
    assert B.isfinite().all()
    torch.testing.assert_close(A @ B, table, rtol=0, atol=1e-5)
    assert spectrum(table).shape == (min(rows, 6),)


def test_a_table_of_zeros():
    table = torch.zeros(5, 3)
    A, B = factorize(table, 2)
    assert not A.any()
    assert B.isfinite().all()
    assert relative_error(table, lambda rows: A[rows] @ B) == 0


def test_refused_tables_and_ranks():
    table, _ = random_table(30, 6)
    for rank in (0, 7):
        with pytest.raises(InputError, match="6 columns has 1 to 6"):
            factorize(table, rank)
    table[3, 3] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        spectrum(table)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda():
    table, values = random_table(BLOCK + 5, 6, torch.float32)
    A, B = factorize(table.cuda(), 3)
    assert A.is_cuda
    on_cpu = factorize(table, 3)
    torch.testing.assert_close((A @ B).cpu(), on_cpu[0] @ on_cpu[1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(spectrum(table.cuda()).cpu(), values, rtol=1e-5)
