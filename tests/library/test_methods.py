"""All methods of `compress`, and calls that compress several embeddings."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ccompress.embeddings.fake_quantized import FakeQuantizedLowRankEmbedding
from ccompress.errors import InputError
from ccompress.library.compression import compress, finish
from ccompress.library.methods import COUNTING, METHODS, counted
from ccompress.library.optimizers import replace_parameters
from ccompress.numerics import allocation
from ccompress.numerics.svd import factorize

V, D = 600, 24
DRAW = torch.Generator().manual_seed(0)
IDS = [torch.randint(0, V, (20,), generator=DRAW).square() // V for _ in range(300)]
WORDS = torch.stack(IDS[:8])


def table():
    """A table with falling singular values, like those of trained tables."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(V, D, generator=draw) * torch.linspace(2, 0.1, D)


def network(**options):
    embedding = nn.Embedding(V, D, _weight=table(), padding_idx=0, **options)
    torch.manual_seed(0)
    return nn.Sequential(embedding, nn.Flatten(), nn.Linear(20 * D, 3))


def arguments(method):
    return {"method": method, "counts": IDS if method in COUNTING else None}


# The centroids alone, or the scales of the rows alone, take more bytes.
IMPOSSIBLE = {
    ("product_quantization", 0.75),
    ("product_quantization", 0.9),
    ("row_quantization", 0.9, torch.bfloat16),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_rate_in_bytes_of_the_dtype(method, rate, dtype):
    small = network().to(dtype)
    before = small[0].weight.nbytes
    if (method, rate) in IMPOSSIBLE or (method, rate, dtype) in IMPOSSIBLE:
        with pytest.raises(InputError, match=r"^'0': rate=0\.\d+ leaves no .* for 600 x 24"):
            compress(small, rate, worse_than_zeros=True, **arguments(method))
        return
    report = compress(small, rate, worse_than_zeros=True, **arguments(method))
    finish(small)
    marks = ("weight", "structure")
    stored = {n: t for n, t in small[0].state_dict().items() if n not in marks}
    assert sum(t.nbytes for t in stored.values()) == report.bytes_after
    scales = 2 * small[0].lower.element_size() if method == "quantization" else 0
    assert report.bytes_after <= (1 - rate) * before + scales + 1
    assert report.method == method
    assert small(WORDS).shape == (8, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_padding_row_is_read_as_zeros_only_if_it_is_zero(method):
    zeros, other = network(), network()
    with torch.no_grad():
        zeros[0].weight[0] = 0
        other[0].weight[0] = other[0].weight[1]
    for one in (zeros, other):
        compress(one, 0.5, **arguments(method))
        finish(one)
    first, second = other[0](torch.tensor([0, 1]))
    assert not zeros[0](torch.tensor(0)).any()
    assert (first - second).norm() < 0.2 * second.norm()


@pytest.mark.parametrize("method", [m for m in METHODS if m.startswith("in_training")])
def test_factors_are_trained_and_finishing_hardly_changes_the_outputs(method):
    small = network()
    optimizer = torch.optim.Adam(small.parameters(), lr=0.01)
    report = compress(small, 0.75, **arguments(method))
    replace_parameters(optimizer, report)
    target = torch.arange(8) % 3
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(small(WORDS), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    trained = small(WORDS)
    finish(small)
    tolerance = 1e-5 if method.endswith("mixed") else 0.05
    torch.testing.assert_close(small(WORDS), trained, atol=tolerance, rtol=tolerance)


def test_mixed_precision_gives_frequent_rows_more_bits_in_any_order():
    """It equals the method of the command line, whose table is sorted by frequency."""
    counts = counted(IDS, V)
    small = network(sparse=True)
    compress(small, 0.9, "in_training_svd_mixed", counts=counts)
    tier = torch.from_numpy(allocation.tiers(counts.numpy()))
    order = tier.argsort(stable=True)
    budget = int(0.1 * 4 * V * D) - V // 2
    of_sorted = FakeQuantizedLowRankEmbedding.from_table(table()[order], counts[order], budget)
    rows = torch.arange(V)
    assert torch.equal(small[0](order), of_sorted(rows))
    assert small[0].inner.sparse
    widths = small[0].inner.bits.sum(1)[tier.unique()]
    assert widths[:3].min() > widths[-3:].max()


def test_frequent_rows_count_more_in_the_weighted_decomposition():
    small = network()
    compress(small, 0.75, "in_training_svd_weighted", counts=IDS)
    weights = (counted(IDS, V).double() + 1).sqrt()
    A, B = factorize(table(), small[0].rank, weights)
    assert torch.equal(small[0].A, A)
    assert torch.equal(small[0].B, B)


def test_ids_of_any_kind_are_counted():
    expected = torch.tensor([1, 2, 0, 1])
    texts = [torch.tensor([[1, 0]]), [3, 1], torch.tensor([], dtype=torch.int64)]
    assert torch.equal(counted(texts, 4), expected)
    assert torch.equal(counted((text for text in texts), 4), expected)
    assert torch.equal(counted(expected.int(), 4), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "none"}, "'none' is not known here .it changes nothing.: give 'in_training_s"),
        ({"method": "pre_training_svd"}, "it needs a network that reads shorter vectors"),
        ({"method": "in_training_svd_mixed"}, "'in_training_svd_mixed' needs counts="),
        ({"method": "quantization", "counts": IDS}, "'quantization' does not use counts="),
        (
            {"method": "in_training_svd_mixed", "counts": torch.ones(3)},
            r"'0': counts is a tensor of shape \(3,\): give 600 counts",
        ),
        (
            {"method": "in_training_svd_weighted", "counts": -torch.ones(V)},
            "'0': counts is a tensor .* of 0 or more",
        ),
        (
            {"method": "in_training_svd_mixed", "counts": [[V]]},
            "'0': counts has ids from 600 to 600: give whole numbers 0 to 599",
        ),
        ({"method": "in_training_svd_mixed", "counts": [[0.5]]}, "'0': counts has ids from 0.5"),
    ],
)
def test_bad_methods_and_counts_are_refused(options, message):
    one = network()
    with pytest.raises(InputError, match=message):
        compress(one, 0.75, **options)
    assert type(one[0]) is nn.Embedding


# several embeddings


def several():
    torch.manual_seed(0)
    parts = {"word_embeddings": nn.Embedding(V, D), "position_embeddings": nn.Embedding(300, D)}
    return nn.ModuleDict(
        {side: nn.ModuleDict(parts.copy()) for side in ("query", "answer")}
        | {"other": nn.ModuleDict({"word_embeddings": nn.Embedding(V, D)})}
    )


def test_a_pattern_chooses_several_embeddings():
    small = several()
    optimizer = torch.optim.Adam(small.parameters())
    report = compress(small, 0.75, name="*.word_embeddings")
    # The query and the answer share one embedding.
    assert [one.name for one in report] == ["query.word_embeddings", "other.word_embeddings"]
    assert report.name == "query.word_embeddings, other.word_embeddings"
    assert report.bytes_before == 2 * 4 * V * D
    assert report.bytes_after == sum(one.bytes_after for one in report)
    assert report.rank == small["other"]["word_embeddings"].rank
    assert str(report).count("\n") == 1
    assert type(small["query"]["position_embeddings"]) is nn.Embedding
    replace_parameters(optimizer, report)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in small.parameters()}
    assert dict(small.named_parameters()).keys() >= report.parameters.keys()


def test_a_predicate_chooses_embeddings():
    small = several()
    report = compress(small, 0.5, name=lambda path, embedding: embedding.num_embeddings == 300)
    assert report.name == "query.position_embeddings"


@pytest.mark.parametrize("name", ["*.token_embeddings", lambda path, embedding: False])
def test_a_pattern_that_fits_no_embedding_is_refused(name):
    with pytest.raises(InputError, match=r"fits none of 'query\.word_embeddings' \(600 x 24\), "):
        compress(several(), 0.5, name=name)


def test_if_one_of_several_embeddings_is_refused_none_is_changed():
    small = several()
    small["other"]["word_embeddings"].max_norm = 1.0
    with pytest.raises(InputError, match=r"'other\.word_embeddings' has max_norm"):
        compress(small, 0.5, name="*")
    small["other"]["word_embeddings"].max_norm = None
    with torch.no_grad():
        small["other"]["word_embeddings"].weight[0] = torch.nan
    with pytest.raises(InputError, match=r"'other\.word_embeddings': .*NaN"):
        compress(small, 0.5, name="*")
    assert all(type(m) in (nn.ModuleDict, nn.Embedding) for m in small.modules())
