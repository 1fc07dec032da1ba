import copy
import doctest
import gc
import pickle
import weakref

import pytest
import torch
from embedding_network import METHODS, WORDS, D, Network, V, train
from torch import nn

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.library import compression, optimizers
from ccompress.library.compression import compress
from ccompress.library.optimizers import replace_parameters
from ccompress.numerics.packing import bytes_per_row, quantize
from ccompress.numerics.svd import factorize
from ccompress.schedules import scheduler as schedulers


def test_in_training_svd_replaces_the_embedding_by_factors():
    network = Network()
    table = network.words.weight.detach().clone()
    report = compress(network, rate=0.75)
    rank = int(0.25 * V * D / (V + D))
    A, B = factorize(table, rank)
    assert type(network.words) is LowRankEmbedding
    torch.testing.assert_close(network.words(WORDS), (A @ B)[WORDS])
    assert (report.name, report.method, report.rank, report.bits) == (
        "words",
        "in_training_svd",
        rank,
        None,
    )
    assert (report.bytes_before, report.bytes_after) == (4 * V * D, 4 * rank * (V + D))
    assert report.achieved_reduction >= 0.75
    expected = (torch.linalg.norm(table - A @ B) / torch.linalg.norm(table)).item()
    assert report.relative_error == pytest.approx(expected, rel=1e-5)
    assert report.parameters["A"] is network.words.A
    assert report.parameters["B"] is network.words.B


def test_quantization_replaces_the_embedding_by_packed_bits():
    network = Network()
    table = network.words.weight.detach().clone()
    report = compress(network, rate=0.75, method="quantization")
    assert type(network.words) is QuantizedEmbedding
    assert (report.rank, report.bits) == (None, 8)
    _, lower, upper = quantize(table, 8)
    assert (network.words(WORDS) - table[WORDS]).abs().max() <= (upper - lower) / 255 / 2 + 1e-6
    assert not network.words(torch.tensor(0)).any()
    assert report.bytes_after == V * bytes_per_row(8, D) + 8
    assert report.parameters == {}
    assert 0 < report.relative_error < 0.01


def test_the_report_prints_as_one_line():
    line = str(compress(Network(), rate=0.75))
    assert line.startswith("'words' (in_training_svd, rank 5): 19,200 -> 4,480 bytes (76.7% remov")
    assert "8 bits per number" in str(compress(Network(), rate=0.75, method="quantization"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_properties_are_kept(method, dtype):
    network = Network().to(dtype).eval()
    network.words.weight.requires_grad_(False)
    compress(network, rate=0.75, method=method)
    assert network.words.padding_idx == 0
    assert network.words(WORDS).dtype == dtype
    assert not network.words.training
    assert not any(parameter.requires_grad for parameter in network.words.parameters())
    assert network(WORDS).shape == (8, 3)


def test_the_rate_refers_to_the_bytes_of_the_tables_dtype():
    report = compress(Network().to(torch.bfloat16), rate=0.75, method="quantization")
    assert report.bits == 4
    assert report.achieved_reduction == pytest.approx(0.75, abs=0.001)


@pytest.mark.parametrize("method", METHODS)
def test_a_padding_row_that_is_not_zero_is_compressed_like_any_other(method):
    network = Network()
    with torch.no_grad():
        network.words.weight[0] = network.words.weight[1]
    compress(network, rate=0.5, method=method)
    torch.testing.assert_close(network.words(torch.tensor(0)), network.words(torch.tensor(1)))


def test_an_embedding_under_several_names_is_replaced_under_all():
    shared = nn.Embedding(V, D)
    network = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "c": shared})
    report = compress(network)
    assert report.name == "a"
    assert network["a"] is network["b"][0] is network["c"]
    assert type(network["a"]) is LowRankEmbedding


def test_a_name_chooses_one_of_several_embeddings():
    network = nn.ModuleDict({"words": nn.Embedding(V, D), "places": nn.Embedding(50, D)})
    with pytest.raises(InputError, match=r"'words' \(200 x 24\), 'places' \(50 x 24\)"):
        compress(network)
    places = network["places"]
    compress(network, name="words")
    assert type(network["words"]) is LowRankEmbedding
    assert network["places"] is places


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "quantisation"}, "give 'in_training_svd' or 'in_training_svd_weighted'"),
        ({"method": "quantization", "rate": 0.0}, "'words': rate=0.0 leaves 32 bits"),
        (
            {"name": "word"},
            r"no submodule 'word' \(did you mean words\?\); its embeddings are words",
        ),
        ({"name": "hidden"}, r"'hidden' is of class torch\..*\.Linear"),
        ({"rate": 1.0}, "0 <= rate < 1"),
        ({"rate": 0.97}, "'words': .*the largest rate that works is 0.9533"),
        ({"rate": 0.97, "method": "quantization"}, "the largest rate that works is 0.96875"),
    ],
)
def test_bad_options_are_refused(options, message):
    network = Network()
    with pytest.raises(InputError, match=message):
        compress(network, **options)
    assert type(network.words) is nn.Embedding


def test_a_rank_at_break_even_is_refused():
    network = nn.Sequential(nn.Embedding(3, 6))  # rank 2: 2 (3 + 6) = 3 x 6
    with pytest.raises(InputError, match="no smaller"):
        compress(network, rate=0)


@pytest.mark.parametrize(("dtype", "after"), [(torch.float32, 208), (torch.float16, 104)])
def test_a_result_that_saves_no_bytes_is_refused(dtype, after):
    network = nn.Sequential(nn.Embedding(50, 1, dtype=dtype))
    with pytest.raises(InputError, match=f"'0': rate=0.1 .* {after} bytes .* nothing gets smaller"):
        compress(network, 0.1, method="quantization")
    assert type(network[0]) is nn.Embedding


@pytest.mark.parametrize(("dtype", "rate"), [(torch.float32, 0.95), (torch.float16, 0.9)])
def test_a_table_worse_than_zeros_is_refused_unless_allowed(dtype, rate):
    network = Network().to(dtype)
    with pytest.raises(InputError, match=r"^'words': at rate=.*bits=1.* worse_than_zeros=True"):
        compress(network, rate, method="quantization")
    assert type(network.words) is nn.Embedding
    report = compress(network, rate, method="quantization", worse_than_zeros=True)
    assert (report.bits, type(network.words)) == (1, QuantizedEmbedding)
    assert report.relative_error > 1


@pytest.mark.parametrize("method", METHODS)
def test_a_call_inside_inference_mode_is_refused(method):
    network = Network()
    report = compress(Network())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with torch.inference_mode():
        with pytest.raises(InputError, match="inference_mode"):
            compress(network, method=method)
        with pytest.raises(InputError, match="inference_mode"):
            replace_parameters(optimizer, report)
    assert type(network.words) is nn.Embedding


def test_a_network_made_inside_inference_mode_is_compressed_outside():
    with torch.inference_mode():
        network = Network()
    compress(network, rate=0.75)
    network.words(WORDS).sum().backward()
    assert network.words.A.grad is not None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_report_is_copied_and_stored_with_its_network(copied):
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    report = compress(network, rate=0.75)
    other, again = copied((network, report))
    assert str(again) == str(report)
    assert (again.rank, again.bytes_after) == (report.rank, report.bytes_after)
    assert again.parameters["A"] is other.words.A
    with pytest.raises(InputError, match="does not hold the table of 'words'"):
        replace_parameters(optimizer, again)
    replace_parameters(optimizer, report)  # the original report still has the table


def test_the_compressed_network_can_be_trained_and_copied():
    network = Network()
    train(network, torch.optim.SGD(network.parameters(), lr=0.1))
    compress(network, rate=0.75)
    before = copy.deepcopy(network)
    train(network, torch.optim.SGD(network.parameters(), lr=0.1))
    assert not torch.equal(network.words.B, before.words.B)
    assert not network.words(torch.tensor(0)).any()  # <pad> still reads as zeros
    fresh = Network()
    fresh.words = LowRankEmbedding(V, D, network.words.rank, padding_idx=0)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(WORDS), network(WORDS))


def test_the_report_does_not_keep_the_table_in_memory():
    network = Network()
    table = weakref.ref(network.words.weight)
    report = compress(network)
    gc.collect()
    assert table() is None
    assert report.bytes_before == 4 * V * D


@pytest.mark.parametrize("documented", [compression, optimizers, schedulers])
def test_doctests(documented):
    assert doctest.testmod(documented).failed == 0
