import copy
import doctest

import numpy as np
import pytest
import torch
from torch import nn

from ccompress.embeddings import codebook, low_rank, product, quantized, quantized_low_rank
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
INDICES = [
    torch.tensor(3),
    torch.tensor([[1, 0, 29], [5, 5, 0]]),
    torch.tensor([7, 0], dtype=torch.int32),
    torch.empty(0, dtype=torch.long),
    torch.empty(2, 0, 3, dtype=torch.int32),
]


@pytest.fixture
def table():
    table = torch.randn(V, D, generator=torch.Generator().manual_seed(0))
    table[0] = 0
    return table


@pytest.fixture(params=["low_rank", "quantized", "quantized_low_rank", "codebook", "product"])
def embedding(request, table):
    if request.param == "product":  # whose centroids are more than this table's rows
        made = ProductQuantizedEmbedding(V, D, 5, padding_idx=0)
        made.codes.random_(generator=torch.Generator().manual_seed(0))
        made.centroids.normal_(generator=torch.Generator().manual_seed(1))
        return made
    if request.param == "codebook":
        return CodebookEmbedding.from_table(table, 3, padding_idx=0)
    if request.param == "quantized":
        return QuantizedEmbedding.from_table(table, 3, padding_idx=0)
    factors = LowRankEmbedding.from_table(table, 4, padding_idx=0)
    if request.param == "low_rank":
        return factors
    return QuantizedLowRankEmbedding.from_factors(factors)


def whole(embedding):
    """An nn.Embedding of the table that a compressed embedding stands for."""
    return nn.Embedding.from_pretrained(embedding(torch.arange(V)).detach(), padding_idx=0)


@pytest.mark.parametrize("indices", INDICES, ids=lambda indices: str(tuple(indices.shape)))
def test_reads_what_nn_embedding_reads(embedding, indices):
    torch.testing.assert_close(embedding(indices), whole(embedding)(indices))


@pytest.mark.parametrize(
    "indices", [[V], [-1], [0.5], [True]], ids=["too large", "negative", "float", "bool"]
)
def test_refuses_what_nn_embedding_refuses(embedding, indices):
    with pytest.raises(Exception) as expected:  # noqa: PT011
        nn.Embedding(V, D)(torch.tensor(indices))
    with pytest.raises(expected.type, match=str(expected.value)[:20]):
        embedding(torch.tensor(indices))


def test_padding_reads_exact_zeros(embedding):
    assert not embedding(torch.tensor([0, 3, 0]))[[0, 2]].any()
    assert embedding(torch.tensor([3])).any()


KINDS = [
    LowRankEmbedding,
    QuantizedEmbedding,
    QuantizedLowRankEmbedding,
    CodebookEmbedding,
    ProductQuantizedEmbedding,
]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_idx_may_count_from_the_end(kind):
    assert kind(V, D, 2, padding_idx=-1).padding_idx == V - 1
    assert kind(V, D, 2).padding_idx is None
    with pytest.raises(InputError, match=f"padding_idx={V} is no row of {V}"):
        kind(V, D, 2, padding_idx=V)


def test_state_dict_round_trip(embedding):
    fresh = type(embedding)(V, D, getattr(embedding, embedding.size_name), 0)
    fresh.load_state_dict(embedding.state_dict())
    assert torch.equal(fresh(torch.arange(V)), embedding(torch.arange(V)))


def test_compiles_and_exports_in_a_network(embedding):
    network = nn.Sequential(embedding, nn.Linear(D, 2))
    indices = torch.tensor([[1, 0, 29], [5, 5, 0]])
    expected = network(indices)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(indices), expected)
    dims = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("length")},)
    exported = torch.export.export(network, (indices,), dynamic_shapes=dims).module()
    torch.testing.assert_close(exported(indices[:, :2]), expected[:, :2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_and_changes_dtype(table, dtype):
    for embedding in (
        LowRankEmbedding.from_table(table.to(dtype), 4),
        QuantizedEmbedding.from_table(table.to(dtype), 4),
        CodebookEmbedding.from_table(table.to(dtype), 4),
        QuantizedLowRankEmbedding.from_factors(LowRankEmbedding.from_table(table.to(dtype), 4)),
        ProductQuantizedEmbedding.from_table(table.to(dtype).repeat(9, 1), 4),
    ):
        assert embedding(torch.tensor([1])).dtype == dtype
        assert copy.deepcopy(embedding).float()(torch.tensor([1])).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_leaves_the_vectors_as_they_are(embedding, dtype):
    """`nn.Embedding` reads its table as it is under autocast, and code after it relies on that."""
    embedding = embedding.to(dtype)
    expected = embedding(INDICES[1])
    with torch.autocast("cpu", dtype=torch.float16):
        read = embedding(INDICES[1])
        compiled = torch.compile(embedding, fullgraph=True, backend="aot_eager")(INDICES[1])
    assert read.dtype == dtype
    assert torch.equal(read, expected)
    torch.testing.assert_close(compiled, expected)


def test_low_rank_trains_alike_under_autocast(table):
    gradients = []
    for enabled in (False, True):
        embedding = LowRankEmbedding.from_table(table, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = embedding(INDICES[1]).square().sum()
        loss.backward()
        gradients.append([parameter.grad for parameter in embedding.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_numpy_are_kept_as_plain_integers(kind):
    """A model file stores them as JSON, which knows no integer but Python's."""
    embedding = kind(*np.array([V, D, 2]), padding_idx=np.int64(-1))
    names = ("num_embeddings", "embedding_dim", kind.size_name, "padding_idx")
    sizes = [getattr(embedding, name) for name in names]
    assert sizes == [V, D, 2, V - 1]
    assert {type(size) for size in sizes} == {int}


def test_printed(embedding, table):
    assert repr(embedding).startswith(f"{type(embedding).__name__}(")
    assert embedding.extra_repr().startswith(f"{V}, {D}, ")
    assert embedding.extra_repr().endswith(", padding_idx=0")
    sparse = LowRankEmbedding.from_table(table, 2, sparse=True)
    assert repr(sparse) == "LowRankEmbedding(30, 12, rank=2, sparse=True)"


@pytest.mark.parametrize("module", [low_rank, quantized, quantized_low_rank, codebook, product])
def test_doctests(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


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


def test_low_rank_made_afresh_looks_like_nn_embedding():
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
def test_quantized_is_as_small_as_it_claims(table, bits):
    tensors = QuantizedEmbedding.from_table(table, bits).state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert size == V * bytes_per_row(bits, D) + 8  # and two float32 scalars


def test_quantized_has_nothing_to_train(table):
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


def test_every_column_and_row_of_the_factors_is_rounded_on_its_own_scale():
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


def test_factors_of_one_byte_are_as_small_as_they_claim():
    small = QuantizedLowRankEmbedding.from_factors(factors_of_many_scales())
    size = sum(tensor.nbytes for tensor in small.state_dict().values())
    assert size == 6 * (200 + 40 + 4) + 16
    assert not list(small.parameters())


def test_a_column_of_zeros_in_the_factors_is_no_division_by_zero():
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
    own = codebooks.owners(D, parts).bincount().tolist()
    assert sorted(own) == sorted(lengths)
    for part, there, centroids in zip(
        table.split(own, 1), read.split(own, 1), embedding.centroids.split(own, 1), strict=True
    ):
        distances = (part.unsqueeze(1) - centroids).norm(dim=2)
        torch.testing.assert_close((part - there).norm(dim=1)[1:], distances.amin(1)[1:])
    size = sum(tensor.nbytes for tensor in embedding.state_dict().values())
    assert size == 400 * parts + 4 * 256 * D


@pytest.mark.parametrize("parts", [0, D + 1])
def test_product_quantized_refuses_impossible_parts(parts):
    with pytest.raises(InputError, match=f"parts={parts}: give 1 to {D}"):
        ProductQuantizedEmbedding(V, D, parts)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(embedding):
    expected = embedding(INDICES[1])
    torch.testing.assert_close(embedding.cuda()(INDICES[1].cuda()).cpu(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("bits", [1, 7, 31, 32])
def test_quantized_on_cuda(table, bits):
    embedding = QuantizedEmbedding.from_table(table.cuda(), bits)
    expected = QuantizedEmbedding.from_table(table, bits)
    assert torch.equal(embedding.packed.cpu(), expected.packed)
