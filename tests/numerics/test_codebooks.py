import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from ccompress.errors import InputError
from ccompress.numerics.codebooks import lloyd_max, nearest, owners, product
from ccompress.numerics.packing import dequantize, quantize
from ccompress.numerics.svd import BLOCK


def squared_error(table, bits):
    values = lloyd_max(table, bits)
    return (values[nearest(table, values)] - table).square().mean().item()


# Max 1960, table I: the error and the outermost value for a normal variable with variance 1
@pytest.mark.parametrize(
    ("bits", "error", "outermost"),
    [(1, 0.3634, 0.7980), (2, 0.1175, 1.510), (3, 0.03454, 2.152), (4, 0.009497, 2.733)],
)
def test_lloyd_max_finds_the_known_optimum_of_a_normal_distribution(bits, error, outermost, device):
    count = 200_000
    table = torch.tensor(norm.ppf((np.arange(count) + 0.5) / count)).reshape(-1, 100).to(device)
    assert squared_error(table, bits) == pytest.approx(error, rel=2e-3)
    values = lloyd_max(table, bits)
    assert values[-1].item() == pytest.approx(outermost, rel=5e-3)
    torch.testing.assert_close(values, -values.flip(0), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (7, 9), elements=st.floats(-100, 100)), st.integers(1, 4))
def test_every_value_is_the_mean_of_the_numbers_that_are_nearest_to_it(array, bits):
    table = torch.tensor(array)
    values = lloyd_max(table, bits)
    assert (values.diff() >= 0).all()
    distances = (table.unsqueeze(-1) - values).abs()
    indices = nearest(table, values).long()
    chosen = distances.gather(-1, indices.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(chosen, distances.amin(-1), rtol=0, atol=1e-9)
    for index in indices.unique().tolist():
        torch.testing.assert_close(table[indices == index].mean(), values[index])


@pytest.mark.parametrize("bits", range(1, 13))
@pytest.mark.parametrize("power", [1, 3], ids=["normal", "heavy tails"])
def test_the_error_is_below_that_of_evenly_spaced_values(bits, power, device):
    table = torch.randn(500, 60, generator=torch.Generator().manual_seed(0)).to(device) ** power
    even = dequantize(*quantize(table, bits), bits)
    assert squared_error(table, bits) < (even - table).square().mean().item()


def test_a_table_of_one_number_is_read_exactly():
    table = torch.full((4, 5), 0.3)
    assert squared_error(table, 3) == 0


def test_numbers_are_rounded_in_the_same_way_in_every_block(device):
    table = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).to(device)
    many = table.repeat(BLOCK // 50 + 2, 1)
    values = lloyd_max(table, 3)
    assert torch.equal(nearest(many, values)[-50:], nearest(table, values)[-50:])


@pytest.mark.parametrize("dim", [1, 7, 300])
def test_parts_differ_in_length_by_at_most_one(dim):
    for parts in range(1, dim + 1):
        lengths = owners(dim, parts).bincount()
        assert len(lengths) == parts
        assert lengths.max() - lengths.min() <= 1
        assert (owners(dim, parts).diff() >= 0).all()


def test_as_many_rows_as_centroids_are_read_exactly(device):
    table = torch.randn(256, 7, generator=torch.Generator().manual_seed(0)).to(device)
    codes, centroids = product(table, 2)
    assert torch.equal(read(codes, centroids, 2), table)


def read(codes, centroids, parts):
    owner = owners(centroids.shape[1], parts, codes.device)
    columns = torch.arange(len(owner), device=codes.device)
    return torch.stack([centroids[row.long()[owner], columns] for row in codes])


@pytest.mark.parametrize("parts", [2, 6, 10, 12])
def test_product_quantization_is_deterministic_and_better_than_its_start(parts, device):
    table = torch.randn(600, 12, generator=torch.Generator().manual_seed(0)).to(device)
    codes, centroids = product(table, parts)
    again = product(table, parts)
    assert torch.equal(codes, again[0])
    assert torch.equal(centroids, again[1])
    error = (read(codes, centroids, parts) - table).square().sum()
    widths = owners(12, parts).bincount().tolist()
    begun = sum(torch.cdist(p, p[:256]).amin(1).square().sum() for p in table.split(widths, 1))
    assert error < 0.9 * begun


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_table_that_is_not_finite_is_refused(bad):
    table = torch.zeros(300, 2)
    table[3, 1] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        lloyd_max(table, 2)
    with pytest.raises(InputError, match="NaN or infinite"):
        product(table, 1)


def test_a_table_of_fewer_rows_than_centroids_is_refused():
    with pytest.raises(InputError, match="needs 256 rows or more, not 255"):
        product(torch.randn(255, 2), 1)
