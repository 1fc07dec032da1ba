import copy
import doctest
import gc
import pickle
import weakref

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.library import compression, optimizers
from ccompress.library.compression import compress
from ccompress.library.optimizers import replace_parameters
from ccompress.numerics.packing import bytes_per_row, quantize
from ccompress.numerics.svd import factorize
from ccompress.schedules import scheduler as schedulers

V, D = 200, 24
TWO = ("in_training_svd", "quantization")  # all others: tests/library/test_methods.py


class Network(nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(V, D, padding_idx=0, **options)
        self.hidden = nn.Linear(D, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, words):
        return self.out(self.hidden(self.words(words).mean(-2)).relu())


WORDS = torch.randint(0, V, (8, 5), generator=torch.Generator().manual_seed(1))


def train(network, *optimizers, steps=3):
    for _ in range(steps):
        F.cross_entropy(network(WORDS), torch.arange(8) % 3).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


# compress


def test_in_training_svd_puts_the_factors_in_place():
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


def test_quantization_puts_packed_bits_in_place():
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


def test_the_report_reads_as_a_line():
    line = str(compress(Network(), rate=0.75))
    assert line.startswith("'words' (in_training_svd, rank 5): 19,200 -> 4,480 bytes (76.7% remov")
    assert "8 bits per number" in str(compress(Network(), rate=0.75, method="quantization"))


@pytest.mark.parametrize("method", TWO)
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


def test_a_rate_is_a_fraction_of_the_bytes_that_there_are():
    report = compress(Network().to(torch.bfloat16), rate=0.75, method="quantization")
    assert report.bits == 4
    assert report.achieved_reduction == pytest.approx(0.75, abs=0.001)


@pytest.mark.parametrize("method", TWO)
def test_a_padding_row_that_is_not_zero_is_no_exception(method):
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


def test_several_embeddings_are_told_apart_by_name():
    network = nn.ModuleDict({"words": nn.Embedding(V, D), "places": nn.Embedding(50, D)})
    with pytest.raises(InputError, match=r"'words' \(200 x 24\), 'places' \(50 x 24\)"):
        compress(network)
    places = network["places"]
    compress(network, name="words")
    assert type(network["words"]) is LowRankEmbedding
    assert network["places"] is places


def tied(**options):
    network = nn.ModuleDict({"words": nn.Embedding(V, D, **options), "other": nn.Embedding(V, D)})
    network["other"].weight = network["words"].weight
    return network


def tied_to_a_parameter():
    network = nn.ModuleDict({"words": nn.Embedding(V, D)})
    network.head = network["words"].weight
    return network


class Own(nn.Linear):
    pass


def tied_to_a_class():
    network = nn.ModuleDict({"words": nn.Embedding(V, D), "head": Own(D, V)})
    network["head"].weight = network["words"].weight
    return network


def tied_by_storage():
    network = nn.ModuleDict({"words": nn.Embedding(V, D), "head": nn.Linear(D, V)})
    network["head"].weight = nn.Parameter(network["words"].weight.data)
    return network


def hooked(what):
    network = Network()
    if what == "module":
        network.words.register_forward_hook(lambda *_: None)
    else:
        network.words.weight.register_hook(lambda gradient: gradient)
    return network


class Scaled(nn.Embedding):
    def forward(self, indices):
        return super().forward(indices) * 10


def added(network, **attributes):
    """Something is put on its embedding from outside."""
    for name, value in attributes.items():
        setattr(network.words, name, value)
    return network


def as_accelerate_does(network):
    """What `accelerate.hooks.add_hook_to_module` does (1.15)."""
    old = network.words.forward
    return added(network, _hf_hook=object(), _old_forward=old, forward=lambda *words: old(*words))


def adapted():
    """As peft's LoRA layers (0.21): an embedding inside a layer that uses its weight."""
    layer = type("Embedding", (nn.Sequential,), {"__module__": "peft.tuners.lora.layer"})
    return nn.ModuleDict({"words": layer(nn.Embedding(V, D)), "out": nn.Linear(D, 2)})


class Sharded(torch.Tensor):
    """As a DTensor: a tensor that is more than its numbers."""


def with_weight(weight):
    network = Network()
    network.words.weight = nn.Parameter(weight)
    return network


def with_integers():
    table = torch.ones(V, D, dtype=torch.int8)
    return nn.ModuleDict({"words": nn.Embedding.from_pretrained(table)})


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (tied_by_storage(), r"'words' shares the memory of its weight with 'head.weight' and not"),
        (tied_to_a_parameter(), r"'words' shares its weight with 'head', which is no module's"),
        (tied_to_a_class(), rf"'words' shares its weight with 'head', .* {__name__}\.Own"),
        (tied(padding_idx=0), "'words' has padding_idx=0 and 'other', .* padding_idx=None"),
        (hooked("module"), r"'words' has additions to .* \(_forward_hooks\): remove it first"),
        (hooked("weight"), r"'words' has additions to .* \(hooks of its weight\)"),
        (added(Network(), forward=len), r"'words' has additions to .* \(forward\)"),
        (
            added(Network(), scale=nn.Parameter(torch.ones(D))),
            r"'words' has additions.* \(scale\)",
        ),
        (added(Network(), lora=nn.Linear(2, 2)), r"'words' has additions to .* \(lora\)"),
        (
            as_accelerate_does(Network()),
            r"_hf_hook, forward\): accelerate.*remove_hook_from_module",
        ),
        (adapted(), r"'words' is an adapter \(Embedding of peft\) of 'words\.0'"),
        (Network(device="meta"), "'words' is on the meta device"),
        (Network().to("meta"), "'words' is on the meta device"),
        (
            with_weight(torch.zeros(V, D).as_subclass(Sharded)),
            r"weight of 'words' is a .*\.Sharded",
        ),
        (with_integers(), r"weight of 'words' holds torch\.int8"),
        (with_weight(torch.zeros(0)), r"weight of 'words' has the shape \(0,\)"),
        (with_weight(torch.full((V, D), torch.nan)), "'words': the embedding table .* NaN"),
        (Network(max_norm=1.0), "'words' has max_norm=1.0"),
        (Network(max_norm=0.0), "'words' has max_norm=0.0"),
        (nn.Sequential(Scaled(V, D)), rf"'0' is of class {__name__}\.Scaled"),
        (nn.Sequential(nn.EmbeddingBag(V, D, max_norm=2.0)), "'0' has max_norm=2.0"),
        (nn.Linear(2, 2), "no nn.Embedding and no nn.EmbeddingBag$"),
        (nn.Embedding(V, D), "itself the nn.Embedding "),
        (nn.EmbeddingBag(V, D), "itself the nn.EmbeddingBag"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("method", TWO)
def test_what_would_go_wrong_is_refused_by_name(network, message, method):
    before = [child for _, child in network.named_modules()]
    with pytest.raises(InputError, match=message):
        compress(network, method=method)
    assert [child for _, child in network.named_modules()] == before


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
def test_bad_options(options, message):
    network = Network()
    with pytest.raises(InputError, match=message):
        compress(network, **options)
    assert type(network.words) is nn.Embedding


def test_a_rank_at_break_even_is_refused():
    network = nn.Sequential(nn.Embedding(3, 6))  # rank 2: 2 (3 + 6) = 3 x 6
    with pytest.raises(InputError, match="no smaller"):
        compress(network, rate=0)


@pytest.mark.parametrize(("dtype", "after"), [(torch.float32, 208), (torch.float16, 104)])
def test_smaller_is_a_matter_of_bytes(dtype, after):
    network = nn.Sequential(nn.Embedding(50, 1, dtype=dtype))
    with pytest.raises(InputError, match=f"'0': rate=0.1 .* {after} bytes .* nothing gets smaller"):
        compress(network, 0.1, method="quantization")
    assert type(network[0]) is nn.Embedding


@pytest.mark.parametrize(("dtype", "rate"), [(torch.float32, 0.95), (torch.float16, 0.9)])
def test_a_table_worse_than_zeros_must_be_asked_for(dtype, rate):
    network = Network().to(dtype)
    with pytest.raises(InputError, match=r"^'words': at rate=.*bits=1.* worse_than_zeros=True"):
        compress(network, rate, method="quantization")
    assert type(network.words) is nn.Embedding
    report = compress(network, rate, method="quantization", worse_than_zeros=True)
    assert (report.bits, type(network.words)) == (1, QuantizedEmbedding)
    assert report.relative_error > 1


@pytest.mark.parametrize("wrapped_in", [nn.Identity, nn.Sequential])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_wrapper_that_knows_its_parameters_is_refused(process_group, wrapped_in, inherited):
    kind = nn.parallel.DistributedDataParallel
    kind = type("Own", (kind,), {}) if inherited else kind
    network = Network()
    wrapped = kind(network)
    where = "the module"
    if wrapped_in is nn.Sequential:
        wrapped, where = nn.Sequential(nn.Identity(), wrapped), "'1'"
    with pytest.raises(InputError, match=rf"^{where} is a {kind.__name__},.* of '.*module\.words'"):
        compress(wrapped, rate=0.75)
    assert type(network.words) is nn.Embedding
    compress(network, rate=0.75)
    train(kind(network), torch.optim.SGD(network.parameters(), lr=0.1))


def test_an_embedding_whose_hooks_were_removed_is_compressed():
    """As accelerate's `remove_hook_from_module` leaves it: with its own forward, bound to it."""
    network = Network()
    compress(added(network, forward=network.words.forward), rate=0.75)
    assert type(network.words) is LowRankEmbedding


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(4).to_sparse(),
        torch.empty(4, device="meta"),
        torch.empty(0),
        torch.ones(4).as_subclass(Sharded),
        nn.UninitializedParameter(),
    ],
    ids=["sparse", "meta", "empty", "subclass", "lazy"],
)
def test_whatever_else_a_network_holds_is_not_taken_for_tied(tensor):
    network = Network()
    if isinstance(tensor, nn.Parameter):
        network.other = tensor
    else:
        network.register_buffer("other", tensor)
    compress(network, rate=0.75)
    assert type(network.words) is LowRankEmbedding


def test_an_embedding_beside_a_wrapper_is_compressed(process_group):
    network = nn.ModuleDict({"words": nn.Embedding(V, D)})
    network["head"] = nn.parallel.DistributedDataParallel(nn.Linear(D, 2))
    assert compress(network, rate=0.75).name == "words"


@pytest.mark.parametrize("method", TWO)
def test_nothing_is_made_inside_inference_mode(method):
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
    replace_parameters(optimizer, report)  # the first still knows the table


def test_the_compressed_network_trains_on_and_copies():
    network = Network()
    train(network, torch.optim.SGD(network.parameters(), lr=0.1))
    compress(network, rate=0.75)
    before = copy.deepcopy(network)
    train(network, torch.optim.SGD(network.parameters(), lr=0.1))
    assert not torch.equal(network.words.B, before.words.B)
    assert not network.words(torch.tensor(0)).any()  # <pad> is still zeros
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


# replace_parameters

OPTIMIZERS = [
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    lambda parameters: torch.optim.Adagrad(parameters, lr=0.01, initial_accumulator_value=0.1),
    lambda parameters: torch.optim.RMSprop(parameters, lr=0.01),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_others_keep_their_state_and_new_ones_start_afresh(make):
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer)
    old = network.words.weight
    kept = {p: copy.deepcopy(s) for p, s in optimizer.state.items() if p is not old}
    report = compress(network, rate=0.75)
    replace_parameters(optimizer, report)

    [group] = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
    assert old not in optimizer.state
    for parameter, state in kept.items():
        torch.testing.assert_close(dict(optimizer.state[parameter]), dict(state), rtol=0, atol=0)

    # one more step does to the factors what the first step of a fresh optimizer does
    copied = copy.deepcopy(network)
    train(copied, make(copied.words.parameters()), steps=1)
    train(network, optimizer, steps=1)
    torch.testing.assert_close(network.words.state_dict(), copied.words.state_dict())


def test_new_parameters_join_the_group_of_the_replaced_one():
    network = Network()
    others = [*network.hidden.parameters(), *network.out.parameters()]
    optimizer = torch.optim.Adam(
        [{"params": others}, {"params": network.words.parameters(), "lr": 0.5}], lr=0.1
    )
    scheduler = schedulers.CALR(optimizer, lower=[0.1, 0.01], upper=[0.2, 0.5], step_size=2)
    replace_parameters(optimizer, compress(network, rate=0.75))
    assert optimizer.param_groups[0]["params"] == others
    first, second = optimizer.param_groups[1]["params"]
    assert (first is network.words.A, second is network.words.B) == (True, True)
    train(network, optimizer)
    scheduler.step()  # a new group would have broken it


def test_names_of_parameters_are_kept_up_to_date():
    network = Network()
    optimizer = torch.optim.Adam(network.named_parameters())
    replace_parameters(optimizer, compress(network, rate=0.75))
    [group] = optimizer.param_groups
    assert group["param_names"] == [name for name, _ in network.named_parameters()]
    train(network, optimizer)
    fresh = torch.optim.Adam(network.named_parameters())
    fresh.load_state_dict(optimizer.state_dict())


def test_quantization_takes_the_table_out():
    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    train(network, optimizer)
    replace_parameters(optimizer, compress(network, method="quantization"))
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [
        id(p) for p in network.parameters()
    ]
    assert len(optimizer.state) == 4
    train(network, optimizer)


def test_sparse_adam_trains_a_and_another_optimizer_b():
    network = Network(sparse=True)
    others = [*network.hidden.parameters(), *network.out.parameters()]
    sparse = torch.optim.SparseAdam(network.words.parameters())
    dense = torch.optim.Adam(others)
    train(network, sparse, dense)
    report = compress(network, rate=0.75)
    with pytest.raises(InputError, match="SparseAdam cannot train B of 'words'"):
        replace_parameters(sparse, report)
    replace_parameters(sparse, report, dense=dense)
    before = copy.deepcopy(network.words)
    train(network, sparse, dense)
    assert network.words.A.grad is None or network.words.A.grad.is_sparse
    assert not torch.equal(network.words.A, before.A)
    assert not torch.equal(network.words.B, before.B)


def test_an_optimizer_that_cannot_take_new_parameters_is_refused():
    network = Network()
    optimizer = torch.optim.LBFGS(network.parameters())
    with pytest.raises(InputError, match="LBFGS"):
        replace_parameters(optimizer, compress(network))


def test_an_optimizer_that_does_not_hold_the_table():
    network = Network()
    optimizer = torch.optim.Adam(network.out.parameters())
    report = compress(network)
    with pytest.raises(InputError, match="does not hold the table of 'words'"):
        replace_parameters(optimizer, report)

    frozen = Network()
    frozen.words.weight.requires_grad_(False)
    optimizer = torch.optim.Adam(p for p in frozen.parameters() if p.requires_grad)
    held = list(optimizer.param_groups[0]["params"])
    replace_parameters(optimizer, compress(frozen))
    assert optimizer.param_groups[0]["params"] == held


@pytest.mark.parametrize("documented", [compression, optimizers, schedulers])
def test_doctests(documented):
    assert doctest.testmod(documented).failed == 0
