"""Modules that read a compressed table agree with a dense computation in float64."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from ccompress.errors import InputError
from ccompress.library.compression import compress, finish
from ccompress.library.readers import table_of
from ccompress.library.tables import tables_of

V, D = 600, 12
DRAW = torch.Generator().manual_seed(0)
IDS = torch.randint(0, V, (40,), generator=DRAW)
IDS[::7] = 3  # a frequent index, which is padding in some tests
OFFSETS = torch.tensor([0, 4, 4, 15, 40])  # one bag in the middle and the last bag are empty
WEIGHTS = torch.rand(40, generator=DRAW, dtype=torch.float64)


def dense_of(compressed):
    """A trainable table with the same numbers."""
    table = table_of(compressed)
    return table(torch.arange(V)).detach().double().requires_grad_()


def gradients_fit(table, dense):
    """Check that the gradients of the factors follow from that of the table by the chain rule."""
    A, B = table.A.detach(), table.B.detach()
    gradient = table.A.grad.to_dense() if table.A.grad.is_sparse else table.A.grad
    torch.testing.assert_close(gradient, dense.grad @ B.T)
    torch.testing.assert_close(table.B.grad, A.T @ dense.grad)


@pytest.mark.parametrize("padding_idx", [None, 3])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", ["offsets", "last offset", "two dimensions", "int32"])
@pytest.mark.parametrize(
    ("mode", "weighted", "by_frequency"),
    [
        ("sum", False, False),
        ("sum", True, False),
        ("sum", False, True),
        ("mean", False, False),
        ("mean", False, True),
        ("max", False, False),
    ],
)
def test_a_compressed_bag_agrees_with_embedding_bag(
    mode, weighted, by_frequency, shape, sparse, padding_idx
):
    if sparse and mode == "max":
        pytest.skip("torch has no sparse gradient of max")
    torch.manual_seed(0)
    old = nn.EmbeddingBag(
        V,
        D,
        mode=mode,
        scale_grad_by_freq=by_frequency,
        sparse=sparse,
        include_last_offset=shape == "last offset",
        padding_idx=padding_idx,
        dtype=torch.float64,
    )
    network = nn.ModuleDict({"bag": old})
    compress(network, 0.5)
    ids, offsets = (IDS.view(8, 5), None) if shape == "two dimensions" else (IDS, OFFSETS)
    if shape == "int32":
        ids, offsets = ids.int(), offsets.int()
    weights = WEIGHTS.view_as(ids).clone() if weighted else None
    dense, same = dense_of(network["bag"]), None if weights is None else weights.clone()
    for one in (weights, same):
        if one is not None:
            one.requires_grad_()
    actual = network["bag"](ids, offsets, per_sample_weights=weights)
    expected = F.embedding_bag(
        ids,
        dense,
        offsets,
        mode=mode,
        per_sample_weights=same,
        include_last_offset=shape == "last offset",
        padding_idx=padding_idx,
    )
    torch.testing.assert_close(actual, expected)
    target = torch.randn(actual.shape, generator=DRAW, dtype=torch.float64)
    (actual * target).sum().backward()
    (expected * target).sum().backward()
    if by_frequency:
        # By the definition; torch 2.13 divides by the count of another index on a CPU.
        dense.grad /= ids.flatten().bincount(minlength=V).clamp(min=1).unsqueeze(1)
    gradients_fit(table_of(network["bag"]), dense)
    if weighted:
        torch.testing.assert_close(weights.grad, same.grad)


@pytest.mark.parametrize("method", ["quantization", "product_quantization"])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_frozen_tables_agree_with_embedding_bag(method, mode):
    network = nn.Sequential(nn.EmbeddingBag(V, D, mode=mode, padding_idx=3))
    compress(network, 0.5, method)
    expected = F.embedding_bag(IDS, dense_of(network[0]).float(), OFFSETS, mode=mode, padding_idx=3)
    torch.testing.assert_close(network[0](IDS, OFFSETS), expected)


def test_a_bag_refuses_what_embedding_bag_refuses():
    old = nn.EmbeddingBag(V, D, mode="mean")
    network = nn.Sequential(copy.deepcopy(old))
    compress(network, 0.5)
    for bag in (old, network[0]):
        with pytest.raises(ValueError, match="1D"):
            bag(IDS)
        with pytest.raises(NotImplementedError, match="per_sample_weights"):
            bag(IDS, OFFSETS, WEIGHTS.float())
        with pytest.raises((RuntimeError, IndexError)):
            bag(torch.tensor([[V]]))


def test_the_gradient_is_scaled_by_frequency():
    network = nn.Sequential(
        nn.Embedding(V, D, padding_idx=3, scale_grad_by_freq=True, dtype=torch.float64)
    )
    compress(network, 0.5)
    dense = dense_of(network[0])
    ids = torch.tensor([[5, 5, 5], [7, 3, 9]])
    target = torch.randn(2, 3, D, generator=DRAW, dtype=torch.float64)
    actual = network[0](ids)
    expected = F.embedding(ids, dense, padding_idx=3, scale_grad_by_freq=True)
    assert torch.equal(actual, table_of(network[0])(ids))
    (actual * target).sum().backward()
    (expected * target).sum().backward()
    gradients_fit(table_of(network[0]), dense)
    plain = F.embedding(ids, dense.detach().clone().requires_grad_(), padding_idx=3)
    assert plain.shape == actual.shape


class Tied(nn.Module):
    """A network in which two embeddings and the scores share one table."""

    def __init__(self, bias=True, dtype=torch.float64, **options):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Embedding(V, D, dtype=dtype, **options)
        self.decoder = nn.Embedding(V, D, dtype=dtype, **options)
        self.scores = nn.Linear(D, V, bias=bias, dtype=dtype)
        self.decoder.weight = self.scores.weight = self.encoder.weight

    def forward(self, ids):
        return self.scores(self.encoder(ids).tanh() + self.decoder(ids.flip(0)).sigmoid())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_tied_modules_share_one_compressed_table(bias, sparse):
    network = Tied(bias, sparse=sparse, padding_idx=3)
    [table] = tables_of(network)
    assert list(table.readers) == ["encoder", "decoder", "scores"]
    report = compress(network, 0.5)
    assert report.name == "encoder"
    table = table_of(network.encoder)
    assert table is table_of(network.decoder) is table_of(network.scores)
    assert len(list(network.parameters())) == 2 + bias
    dense = Tied(bias, padding_idx=3)
    dense.load_state_dict({k: v for k, v in network.state_dict().items() if "bias" in k}, False)
    with torch.no_grad():
        dense.encoder.weight.copy_(table.A @ table.B)
    actual, expected = network(IDS), dense(IDS)
    torch.testing.assert_close(actual, expected)
    target = IDS.roll(1)
    F.cross_entropy(actual, target).backward()
    F.cross_entropy(expected, target).backward()
    gradients_fit(table, dense.encoder.weight)
    if bias:
        torch.testing.assert_close(network.scores.bias.grad, dense.scores.bias.grad)


@pytest.mark.parametrize("method", ["in_training_svd_int8", "in_training_svd_mixed"])
def test_finishing_a_tied_table_changes_all_modules_that_read_it(method):
    network = Tied(dtype=torch.float32, padding_idx=3)
    counts = [IDS] if method == "in_training_svd_mixed" else None
    report = compress(network, 0.5, method, counts=counts)
    before = network(IDS)
    finish(network)
    table = table_of(network.encoder)
    assert table is table_of(network.decoder) is table_of(network.scores)
    assert not list(table.parameters())
    stored = {n: t for n, t in table.state_dict().items() if n not in ("weight", "structure")}
    assert sum(t.nbytes for t in stored.values()) == report.bytes_after <= 0.5 * 4 * V * D
    assert (network(IDS) - before).norm() < 0.02 * before.norm()
    assert network.encoder.weight.shape == network.scores.weight.shape == (V, 0)


def test_finish_needs_a_compressed_embedding_and_finite_factors():
    with pytest.raises(InputError, match=r"no compressed embedding: call ccompress\.compress"):
        finish(nn.Linear(2, 2))
    network = Tied(dtype=torch.float32)
    compress(network, 0.5, "in_training_svd_int8")
    with torch.no_grad():
        network.encoder.A[0] = torch.nan
    with pytest.raises(InputError, match=r"'encoder': .*NaN"):
        finish(network)
    assert network.encoder.A.requires_grad


def train_in_two_processes(rank, store, results):
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    network = Tied(padding_idx=3)
    compress(network, 0.5)
    wrapped = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for ids in IDS.view(2, 2, 10)[rank]:
        F.cross_entropy(wrapped(ids), ids.roll(1)).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.save(network.state_dict(), f"{results}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_alike(tmp_path):
    """DistributedDataParallel averages the gradients, so one process with both halves agrees."""
    arguments = (tmp_path / "store", tmp_path)
    commands = [[sys.executable, __file__, str(rank), *map(str, arguments)] for rank in (0, 1)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    network = Tied(padding_idx=3)
    compress(network, 0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for pair in IDS.view(2, 2, 10).transpose(0, 1):
        sum(F.cross_entropy(network(ids), ids.roll(1)) / 2 for ids in pair).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, dict(network.state_dict()))


if __name__ == "__main__":
    train_in_two_processes(int(sys.argv[1]), *sys.argv[2:])
