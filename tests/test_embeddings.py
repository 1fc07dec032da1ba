import copy
import doctest

import pytest
import torch
from torch import nn

from ccompress import embeddings
from ccompress.embeddings import LowRankEmbedding, QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.low_rank import factorize
from ccompress.packing import bytes_per_row, dequantize, quantize

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


@pytest.fixture(params=["low_rank", "quantized"])
def embedding(request, table):
    if request.param == "low_rank":
        return LowRankEmbedding.from_table(table, 4, padding_idx=0)
    return QuantizedEmbedding.from_table(table, 3, padding_idx=0)


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


@pytest.mark.parametrize("kind", [LowRankEmbedding, QuantizedEmbedding])
def test_padding_idx_may_count_from_the_end(kind):
    assert kind(V, D, 2, padding_idx=-1).padding_idx == V - 1
    assert kind(V, D, 2).padding_idx is None
    with pytest.raises(InputError, match=f"padding_idx={V} is no row of {V}"):
        kind(V, D, 2, padding_idx=V)


def test_state_dict_round_trip(embedding):
    fresh = type(embedding)(V, D, getattr(embedding, "bits", None) or embedding.rank, 0)
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
    ):
        assert embedding(torch.tensor([1])).dtype == dtype
        assert copy.deepcopy(embedding).float()(torch.tensor([1])).dtype == torch.float32


def test_printed(embedding, table):
    assert repr(embedding).startswith(f"{type(embedding).__name__}({V}, {D}, ")
    assert "padding_idx=0" in repr(embedding)
    sparse = LowRankEmbedding.from_table(table, 2, sparse=True)
    assert repr(sparse) == "LowRankEmbedding(30, 12, rank=2, sparse=True)"


def test_doctests():
    assert doctest.testmod(embeddings).failed == 0


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
