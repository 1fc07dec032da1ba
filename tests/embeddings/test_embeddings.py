"""The vectors and sizes of each compressed embedding."""

import pytest
import torch

from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.errors import InputError
from ccompress.numerics import codebooks
from ccompress.numerics.packing import bytes_per_row, dequantize, quantize
from ccompress.numerics.svd import factorize

V, D = 30, 12


@pytest.fixture
def table():
    table = torch.randn(V, D, generator=torch.Generator().manual_seed(0))
    table[0] = 0
    return table


# LowRankEmbedding


def test_low_rank_is_the_factorized_table(table):
    embedding = LowRankEmbedding.from_table(table.double(), 5)
    A, B = factorize(table.double(), 5)
    assert torch.equal(embedding.A, A)
    assert torch.equal(embedding.B, B)
    indices = torch.tensor([[4, 2], [4, 9]])
    torch.testing.assert_close(embedding(indices), (A @ B)[indices], rtol=0, atol=1e-12)


def test_low_rank_gradients_are_those_of_the_product(table):
    embedding = LowRankEmbedding.from_table(table.double(), 5, padding_idx=0)
    indices = torch.tensor([[4, 2, 0], [4, 9, 0]])
    weights = torch.randn(2, 3, D, dtype=torch.float64)
    (embedding(indices) * weights).sum().backward()
    A, B = (p.detach().clone().requires_grad_() for p in (embedding.A, embedding.B))
    ((A @ B)[indices] * weights).sum().backward()
    torch.testing.assert_close(embedding.B.grad, B.grad)
    torch.testing.assert_close(embedding.A.grad[1:], A.grad[1:])
    assert not embedding.A.grad[0].any()  # <pad> is not trained


def test_low_rank_sparse_gradients_are_the_dense_ones(table):
    gradients = {}
    for sparse in (False, True):
        embedding = LowRankEmbedding.from_table(table, 3, padding_idx=0, sparse=sparse)
        embedding(torch.tensor([4, 2, 0, 4])).square().sum().backward()
        assert embedding.A.grad.is_sparse == sparse
        gradients[sparse] = embedding.A.grad.to_dense(), embedding.B.grad
    torch.testing.assert_close(gradients[True], gradients[False])


def test_fresh_low_rank_vectors_have_the_variance_of_nn_embedding():
    torch.manual_seed(0)
    embedding = LowRankEmbedding(2000, 50, rank=20, padding_idx=3)
    vectors = embedding(torch.arange(2000)).detach()
    assert not vectors[3].any()
    assert vectors.mean().abs() < 0.02
    assert vectors.var() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rank", [0, D + 1])
def test_low_rank_refuses_impossible_ranks(table, rank):
    with pytest.raises(InputError, match="1 to"):
        LowRankEmbedding(V, D, rank)
    with pytest.raises(InputError, match="1 to"):
        LowRankEmbedding.from_table(table, rank)


def test_weights_decide_which_directions_low_rank_keeps(table):
    weights = torch.rand(V, generator=torch.Generator().manual_seed(2))
    embedding = LowRankEmbedding.from_table(table, 4, weights=weights)
    assert torch.equal(embedding.B, factorize(table, 4, weights)[1])


# QuantizedEmbedding


@pytest.mark.parametrize("bits", range(1, 33))
def test_quantized_reads_the_reference_values_at_every_width(table, bits):
    embedding = QuantizedEmbedding.from_table(table, bits, padding_idx=0)
    expected = dequantize(*quantize(table, bits), bits)
    expected[0] = 0
    assert torch.equal(embedding(torch.arange(V)), expected)
    fresh = QuantizedEmbedding(V, D, bits, padding_idx=0)
    fresh.load_state_dict(embedding.state_dict())
    assert torch.equal(fresh(torch.arange(V)), expected)


@pytest.mark.parametrize("bits", [1, 3, 32])
def test_quantized_has_the_promised_bytes(table, bits):
    tensors = QuantizedEmbedding.from_table(table, bits).state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert size == V * bytes_per_row(bits, D) + 8  # 8 bytes for two float32 scalars


def test_quantized_has_no_parameters(table):
    embedding = QuantizedEmbedding.from_table(table, 3)
    assert not list(embedding.parameters())
    assert not embedding(torch.tensor([1])).requires_grad


@pytest.mark.parametrize("bits", [0, 33])
def test_quantized_refuses_impossible_bits(table, bits):
    with pytest.raises(InputError, match="give 1 to 32"):
        QuantizedEmbedding(V, D, bits)
    with pytest.raises(InputError, match="give 1 to 32"):
        QuantizedEmbedding.from_table(table, bits)


# QuantizedLowRankEmbedding


def factors_of_many_scales(rows=200, dim=40, rank=6):
    factors = LowRankEmbedding(rows, dim, rank, padding_idx=0)
    with torch.no_grad():
        factors.A *= torch.logspace(-3, 3, rank)
        factors.B *= torch.logspace(3, -3, rank).unsqueeze(1)
    return factors


def test_every_column_of_a_and_row_of_b_is_rounded_with_its_own_scale():
    torch.manual_seed(0)
    factors = factors_of_many_scales()
    small = QuantizedLowRankEmbedding.from_factors(factors)
    A, B = small.factors()
    columns = factors.A.abs().amax(0)
    rounded = A(torch.arange(200)) * columns
    assert ((rounded - factors.A).abs() <= columns / 255 * 1.001).all()  # half a step of 2 / 255
    lines = factors.B.abs().amax(1, keepdim=True)
    assert ((B / columns.unsqueeze(1) - factors.B).abs() <= lines / 255 * 1.001).all()
    rows = torch.arange(1, 200)
    error = (small(rows) - factors(rows)).norm() / factors(rows).norm()
    assert error < 0.02


def test_factors_of_one_byte_have_the_promised_bytes():
    small = QuantizedLowRankEmbedding.from_factors(factors_of_many_scales())
    size = sum(tensor.nbytes for tensor in small.state_dict().values())
    assert size == 6 * (200 + 40 + 4) + 16
    assert not list(small.parameters())


def test_columns_of_zeros_in_the_factors_do_no_harm():
    factors = LowRankEmbedding(20, 8, 3)
    with torch.no_grad():
        factors.A[:, 1] = 0
        factors.B[2] = 0
    read = QuantizedLowRankEmbedding.from_factors(factors)(torch.arange(20))
    assert (read - factors(torch.arange(20))).abs().max() < 0.05


@pytest.mark.parametrize("rank", [0, D + 1])
def test_quantized_low_rank_refuses_impossible_ranks(rank):
    with pytest.raises(InputError, match=f"rank={rank}: give 1 to {D}"):
        QuantizedLowRankEmbedding(V, D, rank)


# CodebookEmbedding and ProductQuantizedEmbedding


@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_codebook_reads_the_value_nearest_to_each_number(table, bits):
    embedding = CodebookEmbedding.from_table(table, bits)
    assert embedding.codebook.shape == (2**bits,)
    distances = (table.unsqueeze(-1) - embedding.codebook).abs()
    read = embedding(torch.arange(V))
    torch.testing.assert_close((read - table).abs(), distances.amin(-1))
    assert torch.isin(read, embedding.codebook).all()
    size = sum(tensor.nbytes for tensor in embedding.state_dict().values())
    assert size == V * bytes_per_row(bits, D) + 4 * 2**bits


@pytest.mark.parametrize("bits", [0, 17])
def test_codebook_refuses_impossible_bits(bits):
    with pytest.raises(InputError, match="give 1 to 16"):
        CodebookEmbedding(V, D, bits)


@pytest.mark.parametrize("parts", [1, 5, 12])
def test_product_quantized_reads_the_nearest_centroid_of_every_part(parts):
    table = torch.randn(400, D, generator=torch.Generator().manual_seed(0))
    embedding = ProductQuantizedEmbedding.from_table(table, parts, padding_idx=0)
    read = embedding(torch.arange(400))
    assert not read[0].any()
    lengths = [len(part) for part in torch.arange(D).tensor_split(parts)]
    widths = codebooks.owners(D, parts).bincount().tolist()
    assert sorted(widths) == sorted(lengths)
    for part, read_part, centroids in zip(
        table.split(widths, 1),
        read.split(widths, 1),
        embedding.centroids.split(widths, 1),
        strict=True,
    ):
        distances = (part.unsqueeze(1) - centroids).norm(dim=2)
        torch.testing.assert_close((part - read_part).norm(dim=1)[1:], distances.amin(1)[1:])
    size = sum(tensor.nbytes for tensor in embedding.state_dict().values())
    assert size == 400 * parts + 4 * 256 * D


@pytest.mark.parametrize("parts", [0, D + 1])
def test_product_quantized_refuses_impossible_parts(parts):
    with pytest.raises(InputError, match=f"parts={parts}: give 1 to {D}"):
        ProductQuantizedEmbedding(V, D, parts)


@pytest.mark.parametrize("bits", [1, 7, 31, 32])
def test_every_device_quantizes_to_the_same_numbers(table, bits, device):
    embedding = QuantizedEmbedding.from_table(table.to(device), bits)
    assert embedding.packed.device.type == device.type
    assert torch.equal(embedding.packed.cpu(), QuantizedEmbedding.from_table(table, bits).packed)


def test_every_device_makes_the_same_codebook(table, device):
    embedding, expected = (CodebookEmbedding.from_table(t, 3) for t in (table.to(device), table))
    assert torch.equal(embedding.codebook.cpu(), expected.codebook)
    assert torch.equal(embedding.packed.cpu(), expected.packed)
