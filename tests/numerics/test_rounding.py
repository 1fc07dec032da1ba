"""Rounding to few bits with a step for each row."""

import zlib

import numpy as np
import pytest
import torch

from ccompress.numerics import rounding

WEIGHTS = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(
    -3.0, 4.0
).reshape(7, 1, 1)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_each_number_is_the_nearest_multiple_of_its_rows_step(bits):
    """The expected values are computed with numpy, row by row."""
    largest = 2 ** (bits - 1) - 1
    rows = rounding.round_rows(WEIGHTS, bits)
    values = rows.values()
    for row, step, value in zip(WEIGHTS, rows.steps, values, strict=True):
        # A step has the 16 upper bits of float32, rounded to nearest.
        exact = (row.abs().max() / largest).numpy()
        assert abs(float(step) / exact - 1) <= 2**-8
        assert np.float32(step).view(np.uint32) % 2**16 == 0
        grid = np.arange(-largest, largest + 1) * float(step)
        nearest = grid[np.abs(row.numpy()[..., None] - grid).argmin(-1)]
        np.testing.assert_array_equal(value.numpy(), nearest.astype(np.float32))
        assert value.abs().max() == largest * step


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("seed", range(20))
def test_rounding_again_changes_nothing(bits, seed):
    weights = torch.randn(50, 9, generator=torch.Generator().manual_seed(seed)) ** 3
    weights[3] = 0
    once = rounding.rounded(weights, bits)
    assert torch.equal(rounding.rounded(once, bits), once)
    assert not torch.equal(once, weights)
    vector = rounding.rounded(weights[0], bits)
    assert torch.equal(rounding.rounded(vector, bits), vector)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_stored_rows_are_read_exactly(bits):
    rows = rounding.round_rows(WEIGHTS, bits)
    stream, steps = rounding.packed(rows)
    assert (
        zlib.decompress(stream.numpy().tobytes(), -15)
        == rows.multiples.numpy().astype("i1").tobytes()
    )
    assert steps.nbytes == 7 * 2
    assert torch.equal(rounding.unpacked(stream, steps, WEIGHTS.shape), rows.values())
    vector = torch.tensor([0.0, -1.0, 3.14159, 1e-30, 1e30])
    assert torch.equal(rounding.whole(rounding.halves(vector)), rounding.rounded(vector, bits))
    with pytest.raises(ValueError, match=r"size mismatch: 105 numbers for weights of \(7, 21\)"):
        rounding.unpacked(stream, steps, torch.Size([7, 21]))
    with pytest.raises(ValueError, match="size mismatch"):
        rounding.unpacked(stream, steps, torch.Size([15, 7]))
    with pytest.raises(ValueError, match="weights of shape"):
        rounding.unpacked(stream[:-3], steps, WEIGHTS.shape)


@pytest.mark.parametrize("bits", [4, 8])
def test_stored_bytes_are_near_the_entropy_of_the_multiples(bits):
    weights = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    rows = rounding.round_rows(weights, bits)
    share = rows.multiples.unique(return_counts=True)[1] / weights.numel()
    entropy = -float((share * share.log2()).sum()) * weights.numel() / 8
    stream, _ = rounding.packed(rows)
    assert entropy <= stream.nbytes < 1.02 * entropy < 0.98 * weights.numel() * bits / 8


def test_the_gradient_passes_through_the_rounding():
    weights = WEIGHTS.clone().requires_grad_()
    upstream = torch.randn(WEIGHTS.shape, generator=torch.Generator().manual_seed(2))
    read = rounding.through_rounding(weights, 4)
    (read * upstream).sum().backward()
    assert torch.equal(weights.grad, upstream)
    assert torch.equal(read.detach(), rounding.rounded(WEIGHTS, 4))
