import pytest
import torch
from embedding_network import METHODS, D, Network, V, train
from torch import distributed, nn

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.errors import InputError
from ccompress.library.compression import compress


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
    """The network with attributes added to its embedding."""
    for name, value in attributes.items():
        setattr(network.words, name, value)
    return network


def as_accelerate_does(network):
    """The network after the changes that `accelerate.hooks.add_hook_to_module` makes (1.15)."""
    old = network.words.forward
    return added(network, _hf_hook=object(), _old_forward=old, forward=lambda *words: old(*words))


def adapted():
    """A network like that of peft's LoRA (0.21): a layer uses the weight of its embedding."""
    layer = type("Embedding", (nn.Sequential,), {"__module__": "peft.tuners.lora.layer"})
    return nn.ModuleDict({"words": layer(nn.Embedding(V, D)), "out": nn.Linear(D, 2)})


class Sharded(torch.Tensor):
    """A tensor subclass that holds more than numbers, like DTensor."""


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
@pytest.mark.parametrize("method", METHODS)
def test_an_unsupported_embedding_is_refused_by_name(network, message, method):
    before = [child for _, child in network.named_modules()]
    with pytest.raises(InputError, match=message):
        compress(network, method=method)
    assert [child for _, child in network.named_modules()] == before


@pytest.mark.parametrize("wrapped_in", [nn.Identity, nn.Sequential])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_wrapper_that_lists_its_parameters_is_refused(process_group, wrapped_in, inherited):
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
    """accelerate's `remove_hook_from_module` leaves the class's own `forward` as an attribute."""
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
def test_other_kinds_of_tensors_do_not_count_as_tied(tensor):
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
