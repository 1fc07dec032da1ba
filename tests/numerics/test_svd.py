import numpy as np
import pytest
import torch

from ccompress.errors import InputError
from ccompress.numerics.svd import BLOCK, factorize, project, relative_error, spectrum


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


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("rank", [1, 7, 20])
def test_factorize_is_the_balanced_truncated_svd(dtype, tolerance, rank, device):
    table, values = random_table(300, 20, dtype)
    A, B = factorize(table.to(device), rank)
    assert A.device.type == B.device.type == device.type
    A, B = A.cpu(), B.cpu()
    assert (A.shape, B.shape, A.dtype, B.dtype) == ((300, rank), (rank, 20), dtype, dtype)
    norm = np.linalg.norm(values)
    assert np.linalg.norm((A @ B).double().numpy() - truncated(table, rank)) < tolerance * norm
    S_k = np.diag(values[:rank])
    np.testing.assert_allclose(A.double().T @ A.double(), S_k, atol=10 * tolerance)
    np.testing.assert_allclose(B.double() @ B.double().T, S_k, atol=10 * tolerance)


def weighted_error(table, product, weights):
    return (weights.unsqueeze(1) * (table - product).square()).sum().item()


@pytest.mark.parametrize("rank", [1, 7, 20])
def test_weighted_factors_attain_the_least_weighted_error_and_are_balanced(rank, device):
    table, _ = random_table(300, 20)
    table[4] = 0
    weights = torch.tensor(np.random.default_rng(1).integers(1, 100, 300).astype(float))
    A, B = (factor.cpu() for factor in factorize(table.to(device), rank, weights.to(device)))
    # The truncated SVD of sqrt(w) E minimises ||sqrt(w) (E - A B)||.
    _, values, directions = np.linalg.svd(weights.sqrt().unsqueeze(1).numpy() * table.numpy())
    least = (values[rank:] ** 2).sum()
    assert weighted_error(table, A @ B, weights) == pytest.approx(least, abs=1e-9)
    kept = directions[:rank].T @ directions[:rank]
    np.testing.assert_allclose(A @ B, table.numpy() @ kept, atol=1e-11)
    gram = A.T @ A
    torch.testing.assert_close(gram, torch.diag(torch.diag(gram)), rtol=0, atol=1e-11)
    torch.testing.assert_close(B @ B.T, gram, rtol=0, atol=1e-11)
    assert not A[4].any()


def test_equal_weights_change_nothing():
    table, _ = random_table(BLOCK + 100, 12)
    weighted = factorize(table, 5, torch.full((len(table),), 3.0))
    for factor, expected in zip(weighted, factorize(table, 5), strict=True):
        torch.testing.assert_close(factor, expected, rtol=0, atol=1e-10)


def test_full_rank_reproduces_the_table():
    table, _ = random_table(50, 8, smallest=1e-4)
    A, B = factorize(table, 8)
    torch.testing.assert_close(A @ B, table, rtol=0, atol=1e-12)


def test_project_gives_left_singular_vectors_times_values(device):
    table, values = random_table(200, 12)
    projected = project(table.to(device), 5).cpu()
    u, s, _ = np.linalg.svd(table.numpy(), full_matrices=False)
    np.testing.assert_allclose(projected.abs(), np.abs(u[:, :5] * s[:5]), atol=1e-10)
    np.testing.assert_allclose(projected.norm(dim=0), values[:5], rtol=1e-12)


def test_spectrum_and_its_closed_form_of_the_error(device):
    table, values = random_table(200, 12)
    table = table.to(device)
    np.testing.assert_allclose(spectrum(table).cpu(), values, rtol=1e-9)
    A, B = factorize(table, 4)
    expected = np.linalg.norm(values[4:]) / np.linalg.norm(values)
    assert relative_error(table, lambda rows: A[rows] @ B) == pytest.approx(expected, rel=1e-9)


def test_blocks_of_rows_change_nothing(device):
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(2 * BLOCK + 3, 4, generator=generator, dtype=torch.float64).to(device)
    A, B = factorize(table, 4)
    torch.testing.assert_close(A @ B, table, rtol=0, atol=1e-12)
    assert relative_error(table, lambda rows: A[rows] @ B) < 1e-12


def test_signs_are_unique():
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


def test_a_table_of_zeros_is_factorized():
    table = torch.zeros(5, 3)
    A, B = factorize(table, 2)
    assert not A.any()
    assert B.isfinite().all()
    assert relative_error(table, lambda rows: A[rows] @ B) == 0


def test_impossible_ranks_and_nan_are_refused():
    table, _ = random_table(30, 6)
    for rank in (0, 7):
        with pytest.raises(InputError, match="6 columns has 1 to 6"):
            factorize(table, rank)
    table[3, 3] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        spectrum(table)
