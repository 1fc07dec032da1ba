"""The contract that every compressed embedding keeps."""

import copy
import doctest
import importlib
import inspect
import pickle
import pkgutil

import numpy as np
import pytest
import torch
from torch import nn

import ccompress.embeddings
from ccompress.embeddings.base import CompressedEmbedding
from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.fake_quantized import FakeQuantizedLowRankEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.mixed_precision import (
    MixedPrecisionEmbedding,
    MixedPrecisionLowRankEmbedding,
)
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import (
    QuantizedLowRankEmbedding,
    UnroundedLowRankEmbedding,
)
from ccompress.embeddings.reordered import ReorderedEmbedding
from ccompress.embeddings.row_quantized import RowQuantizedEmbedding
from ccompress.errors import InputError
from ccompress.numerics.svd import factorize

V, D = 300, 12  # more rows than product quantization has centroids
INDICES = [
    torch.tensor(3),
    torch.tensor([[1, 0, 29], [5, 5, 0]]),
    torch.tensor([7, 0], dtype=torch.int32),
    torch.empty(0, dtype=torch.long),
    torch.empty(2, 0, 3, dtype=torch.int32),
]
BITS = torch.tensor([[4, 3, 2, 1], [2, 1, 1, 0]])  # for two tiers and four columns


def fake_quantized(table):
    tier = (torch.arange(V) >= 40).long()
    return FakeQuantizedLowRankEmbedding(*factorize(table, 4), tier, BITS, padding_idx=0)


def reordered(table):
    """An embedding whose rows are sorted by tier, while the tiers of the table alternate."""
    tier = torch.arange(V) % 2
    order = ReorderedEmbedding.order(tier)
    inner = FakeQuantizedLowRankEmbedding(*factorize(table[order], 4), tier[order], BITS, 0)
    return ReorderedEmbedding.over(inner, tier, 0)


MADE = {
    LowRankEmbedding: lambda table: LowRankEmbedding.from_table(table, 4, 0),
    QuantizedEmbedding: lambda table: QuantizedEmbedding.from_table(table, 3, 0),
    QuantizedLowRankEmbedding: lambda table: QuantizedLowRankEmbedding.from_factors(
        LowRankEmbedding.from_table(table, 4, 0)
    ),
    RowQuantizedEmbedding: lambda table: RowQuantizedEmbedding.from_table(table, 3, 0),
    CodebookEmbedding: lambda table: CodebookEmbedding.from_table(table, 3, 0),
    ProductQuantizedEmbedding: lambda table: ProductQuantizedEmbedding.from_table(table, 5, 0),
    FakeQuantizedLowRankEmbedding: fake_quantized,
    MixedPrecisionEmbedding: lambda table: fake_quantized(table).shipped().A,
    MixedPrecisionLowRankEmbedding: lambda table: fake_quantized(table).shipped(),
    UnroundedLowRankEmbedding: lambda table: UnroundedLowRankEmbedding.from_table(table, 4, 0),
    ReorderedEmbedding: reordered,
}


def concrete(kind):
    """All subclasses that are not abstract."""
    below = {subclass for one in kind.__subclasses__() for subclass in (one, *concrete(one))}
    return {one for one in below if not inspect.isabstract(one)}


MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.iter_modules(ccompress.embeddings.__path__, "ccompress.embeddings.")
]


def test_no_embedding_is_left_out():
    kinds = {kind for kind in concrete(CompressedEmbedding) if kind.__module__.startswith("ccompr")}
    assert kinds == set(MADE)


@pytest.fixture
def table():
    table = torch.randn(V, D, generator=torch.Generator().manual_seed(0))
    table[0] = 0
    return table


@pytest.fixture(params=MADE, ids=lambda kind: kind.__name__)
def embedding(request, table):
    return MADE[request.param](table)


def dense(embedding):
    """An nn.Embedding with the table that a compressed embedding represents."""
    return nn.Embedding.from_pretrained(embedding(torch.arange(V)).detach(), padding_idx=0)


@pytest.mark.parametrize("indices", INDICES, ids=lambda indices: str(tuple(indices.shape)))
def test_reads_what_nn_embedding_reads(embedding, indices, device):
    expected = dense(embedding)(indices)
    read = embedding.to(device)(indices.to(device))
    assert read.device.type == device.type
    torch.testing.assert_close(read.cpu(), expected)


@pytest.mark.parametrize(
    "indices", [[V], [-1], [0.5], [True]], ids=["too large", "negative", "float", "bool"]
)
def test_refuses_what_nn_embedding_refuses(embedding, indices):
    with pytest.raises(Exception) as expected:  # noqa: PT011
        nn.Embedding(V, D)(torch.tensor(indices))
    with pytest.raises(expected.type, match=str(expected.value)[:20]):
        embedding(torch.tensor(indices))


def test_scores_are_products_with_the_vectors(embedding):
    states = torch.randn(2, 3, embedding.embedding_dim, generator=torch.Generator().manual_seed(1))
    expected = states.double() @ embedding(torch.arange(V)).double().T
    torch.testing.assert_close(embedding.scores(states).double(), expected, rtol=0, atol=1e-5)


def test_the_shipped_embedding_has_almost_the_same_vectors(embedding):
    shipped = embedding.shipped()
    assert shipped.shipped() is shipped
    assert sum(t.nbytes for t in shipped.state_dict().values()) <= sum(
        t.nbytes for t in embedding.state_dict().values()
    )
    rows, expected = shipped(torch.arange(V)), embedding(torch.arange(V))
    assert (rows - expected).norm() < 0.02 * expected.norm()
    assert not rows[0].any()


def test_padding_is_read_as_exact_zeros(embedding, device):
    read = embedding.to(device)(torch.tensor([0, 3, 0], device=device))
    assert not read[[0, 2]].any()
    assert read[1].any()


# The classes whose constructor takes three sizes and a padding_idx.
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
    arguments = inspect.signature(type(embedding)).parameters
    fresh = type(embedding)(
        **{name: getattr(embedding, name) for name in arguments if hasattr(embedding, name)}
    )
    fresh.load_state_dict(embedding.state_dict())
    assert torch.equal(fresh(torch.arange(V)), embedding(torch.arange(V)))


def test_rows_change_places_within_their_runs(embedding):
    runs = embedding.runs()
    if runs is None:
        pytest.skip("its rows cannot change places")
    assert (runs.diff() >= 0).all()
    order = torch.argsort(runs * V + torch.randperm(V, generator=torch.Generator().manual_seed(1)))
    order = torch.cat([torch.tensor([0]), order[order != 0]])  # padding stays first
    before = embedding(torch.arange(V)).detach()
    sizes = {name: tensor.shape for name, tensor in embedding.state_dict().items()}
    state = embedding.permuted(order)
    assert {name: tensor.shape for name, tensor in state.items()} == sizes
    embedding.load_state_dict(state)
    assert torch.equal(embedding(torch.arange(V)), before[order])
    assert not torch.equal(order, torch.arange(V))


def test_rows_of_shipped_embeddings_can_change_places(table):
    fixed = {kind for kind in MADE if MADE[kind](table).runs() is None}
    assert fixed == {FakeQuantizedLowRankEmbedding, ReorderedEmbedding}  # these only train


def test_an_unpickled_embedding_has_the_same_vectors(embedding):
    """`torch.save` of a whole network, and passing a network to a process, use pickle."""
    again = pickle.loads(pickle.dumps(embedding))
    assert torch.equal(again(torch.arange(V)), embedding(torch.arange(V)))
    again.load_state_dict(embedding.state_dict())
    assert torch.equal(again(torch.arange(V)), embedding(torch.arange(V)))


def test_compiles_and_exports_in_a_network(embedding):
    torch._dynamo.reset()  # it compiles the same function for at most eight types
    network = nn.Sequential(embedding, nn.Linear(embedding.embedding_dim, 2))
    indices = torch.tensor([[1, 0, 29], [5, 5, 0]])
    expected = network(indices)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(indices), expected)
    dims = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("length")},)
    exported = torch.export.export(network, (indices,), dynamic_shapes=dims).module()
    torch.testing.assert_close(exported(indices[:, :2]), expected[:, :2])


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_and_changes_dtype(table, kind, dtype):
    embedding = MADE[kind](table.to(dtype))
    assert embedding(torch.tensor([1])).dtype == dtype
    assert copy.deepcopy(embedding).float()(torch.tensor([1])).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_leaves_the_vectors_as_they_are(embedding, dtype):
    """`nn.Embedding` does not cast its vectors under autocast, and later layers rely on that."""
    torch.compiler.reset()
    embedding = embedding.to(dtype)
    expected = embedding(INDICES[1])
    with torch.autocast("cpu", dtype=torch.float16):
        read = embedding(INDICES[1])
        compiled = torch.compile(embedding, fullgraph=True, backend="aot_eager")(INDICES[1])
    assert read.dtype == dtype
    assert torch.equal(read, expected)
    torch.testing.assert_close(compiled, expected)


def test_trains_alike_under_autocast(embedding):
    gradients = []
    for enabled in (False, True):
        one = copy.deepcopy(embedding)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = one(INDICES[1]).square().sum()
        if loss.requires_grad:
            loss.backward()
        gradients.append([parameter.grad for parameter in one.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_numpy_are_kept_as_plain_integers(kind):
    """A model file stores the sizes as JSON, which can hold only Python's integers."""
    embedding = kind(*np.array([V, D, 2]), padding_idx=np.int64(-1))
    names = ("num_embeddings", "embedding_dim", kind.size_name, "padding_idx")
    sizes = [getattr(embedding, name) for name in names]
    assert sizes == [V, D, 2, V - 1]
    assert {type(size) for size in sizes} == {int}


def test_printed(embedding, table):
    assert repr(embedding).startswith(f"{type(embedding).__name__}(")
    assert embedding.extra_repr().startswith(f"{V}, {embedding.embedding_dim}, ")
    assert embedding.extra_repr().endswith(", padding_idx=0")
    sparse = LowRankEmbedding.from_table(table, 2, sparse=True)
    assert repr(sparse) == f"LowRankEmbedding({V}, {D}, rank=2, sparse=True)"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_doctests(module):
    assert doctest.testmod(module).failed == 0
