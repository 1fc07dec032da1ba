import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ccompress.errors import InputError
from ccompress.numerics.packing import bytes_per_row, dequantize, pack, quantize, unpack
from ccompress.numerics.svd import BLOCK

ALL_BITS = range(1, 33)


def indices_of(bits, rows, dim, seed=0):
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 2**bits, size=(rows, dim))
    indices[0] = 2**bits - 1  # all bits are set, so that an overflow would show
    return torch.tensor(indices)


@pytest.mark.parametrize("b", ALL_BITS)
def test_packing_is_exact(b, device):
    indices = indices_of(b, rows=5, dim=13).to(device)
    packed = pack(indices, b)
    assert packed.dtype == torch.uint8
    assert packed.shape == (5, bytes_per_row(b, 13))
    assert torch.equal(unpack(packed, b, 13).long(), indices)


@pytest.mark.parametrize("b", ALL_BITS)
def test_each_row_is_a_little_endian_bit_string(b, device):
    indices = indices_of(b, rows=3, dim=9, seed=b).to(device)
    for row, numbers in zip(pack(indices, b).tolist(), indices.tolist(), strict=True):
        string = sum(number << (b * place) for place, number in enumerate(numbers))
        assert bytes(row) == string.to_bytes(bytes_per_row(b, 9), "little")


@settings(deadline=None)
@given(st.data())
def test_packing_is_exact_for_any_shape(data):
    b, dim = data.draw(st.integers(1, 32)), data.draw(st.integers(1, 40))
    row = st.lists(st.integers(0, 2**b - 1), min_size=dim, max_size=dim)
    indices = torch.tensor(data.draw(st.lists(row, min_size=1, max_size=4)))
    assert torch.equal(unpack(pack(indices, b), b, dim).long(), indices)


@pytest.mark.parametrize("b", [3, 31])
def test_single_rows_are_unpacked_in_any_shape(b, device):
    indices = indices_of(b, rows=BLOCK + 2, dim=5).to(device)
    rows = torch.tensor([[BLOCK + 1, 0], [7, BLOCK]])
    assert torch.equal(unpack(pack(indices, b)[rows], b, 5).long(), indices[rows])
    nothing = torch.empty(0, dtype=torch.long)
    assert unpack(pack(indices, b)[nothing], b, 5).shape == (0, 5)


def test_an_index_that_does_not_fit_is_refused():
    for wrong in ([[8]], [[-1]]):
        with pytest.raises(ValueError, match="3 bits"):
            pack(torch.tensor(wrong), 3)


@pytest.mark.parametrize("dim", [100, 150, 200, 300, 768])
def test_packed_rows_keep_the_promised_reduction(dim):
    for b in ALL_BITS:
        requested = 1 - b / 32
        achieved = 1 - bytes_per_row(b, dim) / (4 * dim)
        assert achieved >= requested - 0.002
        assert achieved > requested - 7 / (32 * dim)


def reference(table, b):
    """The nearest of evenly spaced values, by exhaustive search."""
    levels = np.linspace(table.min(), table.max(), 2**b)
    return levels[np.abs(table[..., None] - levels).argmin(-1)]


@pytest.mark.parametrize("b", [1, 2, 3, 8])
def test_quantize_takes_the_nearest_reference_value(b, device):
    table = np.random.default_rng(b).normal(size=(20, 10))
    indices, lower, upper = quantize(torch.tensor(table, device=device), b)
    values = dequantize(indices, lower, upper, b)
    np.testing.assert_allclose(values.cpu(), reference(table, b), rtol=1e-12)


@pytest.mark.parametrize("b", ALL_BITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantization_error_is_at_most_half_a_step(b, dtype, device):
    generator = torch.Generator().manual_seed(b)
    table = torch.randn(50, 20, generator=generator, dtype=dtype).to(device)
    indices, lower, upper = quantize(table, b)
    assert (indices.min(), indices.max()) == (0, 2**b - 1)
    values = dequantize(indices, lower, upper, b)
    assert values.dtype == dtype
    step = (upper - lower).item() / (2**b - 1)
    rounding = 2 * torch.finfo(dtype).eps * table.abs().max().item()
    assert values.min() == table.min() == lower
    assert abs(values.max() - table.max()) <= rounding
    assert (values - table).abs().max() <= step / 2 + rounding
    again, _, _ = quantize(values.double(), b)
    if b <= 20 or dtype == torch.float64:  # with more bits, neighbours are equal in float32
        assert torch.equal(again, indices)


def test_quantizing_in_blocks_equals_quantizing_at_once():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(BLOCK + 5, 3, generator=generator)
    table[-1, -1] = 50  # the range is that of the table and not of a block
    indices, lower, upper = quantize(table, 4)
    assert upper == 50
    expected = ((table.double() - lower) / ((upper - lower).double() / 15)).round()
    assert torch.equal(indices.double(), expected)


@pytest.mark.parametrize("value", [0.0, -1.5, 3e38])
def test_a_constant_table_is_kept_exactly(value):
    table = torch.full((4, 3), value)
    indices, lower, upper = quantize(table, 5)
    assert not indices.any()
    assert torch.equal(dequantize(indices, lower, upper, 5), table)


def test_the_widest_range_of_float32_does_not_overflow():
    largest = torch.finfo(torch.float32).max
    table = torch.tensor([[-largest, 0.0, largest]])
    values = dequantize(*quantize(table, 32), 32)
    torch.testing.assert_close(values / largest, table / largest)


@pytest.mark.parametrize("table", [torch.empty(0, 3), torch.tensor([[1.0, float("inf")]])])
def test_tables_without_a_range_are_refused(table):
    with pytest.raises(InputError, match="empty or holds NaN"):
        quantize(table, 4)
