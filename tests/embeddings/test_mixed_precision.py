"""Factors of mixed precision, in training and in packed form."""

import numpy as np
import pytest
import torch

from ccompress.embeddings.fake_quantized import FakeQuantizedLowRankEmbedding
from ccompress.embeddings.mixed_precision import (
    MixedPrecisionEmbedding,
    MixedPrecisionLowRankEmbedding,
)
from ccompress.numerics.allocation import STEPS, stored_bytes

V, K, D = 50, 6, 9
SIZES = [3, 20, 0, 27]
BITS = torch.tensor(
    [[4, 4, 3, 2, 2, 1], [4, 2, 2, 1, 0, 1], [3, 3, 3, 3, 3, 3], [2, 1, 0, 0, 1, 0]]
)
TIER = torch.repeat_interleave(torch.arange(4), torch.tensor(SIZES))


@pytest.fixture
def training():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(V, K, generator=generator)
    A[0] = 0
    B = torch.randn(K, D, generator=generator)
    return FakeQuantizedLowRankEmbedding(A, B, TIER, BITS, padding_idx=0)


def test_packed_rows_are_stored_and_decoded_as_specified():
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(0, 2 ** BITS[TIER].numpy()))
    column, tier = torch.rand(K) + 0.5, torch.rand(4) + 0.5
    rows = MixedPrecisionEmbedding.from_codes(codes, TIER, BITS, column, tier, None)
    limit = (2.0 ** BITS[TIER] - 1) / 2
    step = column.double() * tier.double()[TIER].unsqueeze(1) * torch.tensor(STEPS)[BITS[TIER]]
    dense = (codes - limit).double() * step * (BITS[TIER] > 0)
    torch.testing.assert_close(rows(torch.arange(V)).double(), dense, rtol=1e-5, atol=1e-6)
    # The stream holds the rows of one tier after another, with the lowest bit of each code first.
    written = ""
    for t, size in enumerate(SIZES):
        stream = "".join(
            format(int(codes[row, j]), f"0{int(BITS[t, j])}b")[::-1]
            for row in range(sum(SIZES[:t]), sum(SIZES[:t]) + size)
            for j in range(K)
            if BITS[t, j]
        )
        written += stream + "0" * (-len(stream) % 8)
    bits = np.unpackbits(rows.codes.numpy(), bitorder="little")
    assert "".join(map(str, bits)) == written


def test_packed_vectors_equal_those_of_training(training):
    indices = torch.tensor([[0, 1, 2], [22, 23, V - 1]])
    packed = training.shipped()
    torch.testing.assert_close(packed(indices), training(indices).detach(), rtol=1e-5, atol=1e-5)
    assert not packed(torch.tensor([0])).any()
    assert sum(t.nbytes for t in packed.state_dict().values()) == stored_bytes(
        BITS.numpy(), SIZES, D
    )


def test_reading_by_bytes_equals_reading_bit_by_bit(training):
    rows = training.shipped().A
    indices = torch.arange(V)
    assert torch.equal(rows(indices), rows._from_bits(indices))
    assert not rows.state_dict().keys() & {"_numbers", "_values"}
    # With 40 tiers of 4 bits, a column has more values than a byte can distinguish.
    tier = torch.arange(V).clamp(max=39)
    codes = torch.randint(16, (V, 2), generator=torch.Generator().manual_seed(0))
    bits = torch.full((40, 2), 4)
    many = MixedPrecisionEmbedding.from_codes(codes, tier, bits, torch.rand(2), torch.rand(40), 0)
    assert torch.equal(many(indices), many._from_bits(indices))


def test_a_direction_without_bits_is_left_out_even_if_it_is_the_strongest():
    """Only words that are rare and too many have a part in the strongest direction."""
    rows, dim = 2010, 4
    table = torch.zeros(rows, dim)
    table[10:, 0] = 0.6
    table[1:10, 1] = torch.linspace(-7, 7, 9)
    table[1:10, 2] = torch.linspace(-7, 7, 9).flip(0).roll(3)
    counts = torch.where(torch.arange(rows) < 10, 10_000, 1)
    small = FakeQuantizedLowRankEmbedding.from_table(table, counts, 150, padding_idx=0).shipped()
    assert small.rank < 3
    assert sum(t.nbytes for t in small.state_dict().values()) <= 150
    frequent = torch.arange(1, 10)
    error = (small(frequent) - table[frequent]).norm() / table[frequent].norm()
    assert error < 0.3


def test_a_packed_embedding_is_restored_from_its_state(training):
    packed = training.shipped()
    again = MixedPrecisionLowRankEmbedding(V, D, K, 4, packed.code_bytes, padding_idx=0)
    again.load_state_dict(packed.state_dict())
    indices = torch.arange(V)
    assert torch.equal(again(indices), packed(indices))


@pytest.mark.parametrize("index", [-1, V])
def test_an_index_out_of_range_is_refused(training, index):
    with pytest.raises(IndexError):
        training.shipped()(torch.tensor([index]))


def test_the_gradient_passes_the_rounding_inside_the_range(training):
    """The closed forms are those of the straight-through estimator and of learned steps."""
    indices = torch.arange(V)
    upstream = torch.randn(V, K, generator=torch.Generator().manual_seed(1))
    rows, _ = training.read_factors(indices)
    (rows * upstream).sum().backward()

    A, bits = training.A.detach(), BITS[TIER]
    step = (training.log_tier_step.unsqueeze(1) + training.log_column_step).exp().detach()[TIER]
    step = step * torch.tensor(STEPS)[bits]
    limit = (2.0**bits - 1) / 2
    scaled = A / step
    inside = (scaled.abs() < limit + 0.5) & (bits > 0)
    upstream = upstream * (torch.arange(V) > 0).unsqueeze(1)  # <pad> reads as zeros
    torch.testing.assert_close(training.A.grad.to_dense(), upstream * inside)
    level = (scaled.floor() + 0.5).clamp(-limit, limit)
    by_step = torch.where(inside, level - scaled, level) * step * (bits > 0)
    expected = (by_step * upstream).sum(0)
    torch.testing.assert_close(training.log_column_step.grad, expected, rtol=1e-3, atol=1e-4)
