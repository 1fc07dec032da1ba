import pytest
import torch

from ccompress.errors import InputError
from ccompress.numerics.packing import dequantize, quantize
from ccompress.numerics.row_scales import dequantize_rows, quantize_rows


@pytest.fixture
def table():
    """Rows of different sizes with a few outliers, like those of trained tables."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(500, 60, generator=generator)
    table *= torch.rand(500, 1, generator=generator) + 0.1
    table[torch.rand(500, 60, generator=generator) < 0.01] *= 5
    return table


def error(table, values):
    return (table - values).square().sum(1).double()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_every_number_gets_the_nearest_value_of_its_row(table, bits):
    indices, lower, step, largest = quantize_rows(table, bits)
    assert largest == table.abs().max()
    values = lower.double()[:, None] + torch.arange(2**bits) * step.double()[:, None]  # (V, 2^b)
    values *= largest.double()
    nearest = (table.double()[:, :, None] - values[:, None, :]).abs().amin(2)
    errors = (table.double() - values.gather(1, indices.long())).abs()
    torch.testing.assert_close(errors, nearest)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_no_row_is_worse_than_without_clipping_and_most_are_better(table, bits):
    clipped = error(table, dequantize_rows(*quantize_rows(table, bits)))
    lower, upper = table.aminmax(dim=1, keepdim=True)
    step = (upper - lower) / (2**bits - 1)
    unclipped = error(table, lower + ((table - lower) / step).round() * step)
    assert (clipped <= unclipped * 1.05).all()  # the stored ends are float16
    assert clipped.sum() < 0.9 * unclipped.sum()


@pytest.mark.parametrize("bits", [3, 4])
def test_a_scale_for_each_row_is_better_than_one_for_the_table(table, bits):
    errors = error(table, dequantize_rows(*quantize_rows(table, bits))).sum()
    assert errors < 0.2 * error(table, dequantize(*quantize(table, bits), bits)).sum()


def test_rows_of_one_value_and_tables_of_zeros_are_kept():
    table = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]])
    assert torch.equal(dequantize_rows(*quantize_rows(table, 3)), table)
    assert not dequantize_rows(*quantize_rows(torch.zeros(4, 3), 3)).any()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_numbers_beyond_float16_are_kept(table, size):
    read = dequantize_rows(*quantize_rows(table * size, 8)) / size
    assert (read - table).norm() < 0.02 * table.norm()


@pytest.mark.parametrize("bad", [torch.zeros(0, 3), torch.tensor([[float("nan")]])])
def test_a_table_that_cannot_be_quantized_is_refused(bad):
    with pytest.raises(InputError, match="empty or holds NaN"):
        quantize_rows(bad, 3)
