"""Compressed networks are stored and loaded with `save`, `restore` and `restructure`."""

import doctest
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ccompress
from ccompress.errors import InputError
from ccompress.library import restructuring
from ccompress.library.methods import COUNTING, METHODS

V, D = 600, 16
WORDS = torch.randint(0, V, (4, 5), generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """A network with two tables: one is tied to the scores, and one is in an EmbeddingBag."""

    def __init__(self, rows=V, dim=D):
        super().__init__()
        self.words = nn.Embedding(rows, dim, padding_idx=3)
        self.tags = nn.EmbeddingBag(rows, dim, mode="sum")
        self.scores = nn.Linear(dim, rows)
        self.scores.weight = self.words.weight

    def forward(self, words):
        return self.scores(self.words(words).mean(1) + self.tags(words))


def network(seed=0, **sizes):
    torch.manual_seed(seed)
    return Network(**sizes).eval()


def compressed(method="in_training_svd", rate=0.5):
    small = network()
    counts = torch.arange(V) if method in COUNTING else None
    ccompress.compress(small, rate, method, name="*", counts=counts)
    ccompress.finish(small)
    return small


def states(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(module, before):
    assert module.state_dict().keys() == before.keys()
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("file", ["folder", "one.safetensors"])
def test_a_restored_network_equals_the_saved_one(tmp_path, method, file):
    small = compressed(method)
    ccompress.save(small, tmp_path / file)
    again = ccompress.restore(network(1), tmp_path / file)
    assert torch.equal(again(WORDS), small(WORDS))
    assert ccompress.described(again) == ccompress.described(small)
    assert again.scores.table is ccompress.restore(again, tmp_path / file).scores.table
    restored = ccompress.restore(Network, tmp_path / file).eval()
    assert torch.equal(restored(WORDS), small(WORDS))


@pytest.mark.parametrize("method", METHODS)
def test_a_state_dict_gives_a_fresh_network_its_structure(tmp_path, method):
    small = compressed(method)
    torch.save(small.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for structure in (state, json.loads(json.dumps(ccompress.described(small)))):
        again = network(1)
        ccompress.restructure(again, structure)
        again.load_state_dict(state)
        assert torch.equal(again(WORDS), small(WORDS))


def test_a_padding_row_that_is_not_zero_is_restored_exactly(tmp_path):
    small = nn.Sequential(nn.Embedding(V, D, padding_idx=0))
    nn.init.ones_(small[0].weight)
    ccompress.compress(small, 0.5, "quantization")
    ccompress.save(small, tmp_path)
    again = ccompress.restore(nn.Sequential(nn.Embedding(V, D, padding_idx=0)), tmp_path)
    assert again[0](torch.tensor([0])).all()


def test_the_file_has_the_size_of_the_compressed_tables(tmp_path):
    small = nn.Sequential(nn.Embedding(5000, 64))
    report = ccompress.compress(small, 0.9)
    ccompress.save(small, tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert report.bytes_after < size < report.bytes_after + 1500


def test_a_compressed_state_cannot_be_loaded_into_an_uncompressed_network():
    state = compressed().state_dict()
    with pytest.raises(RuntimeError, match=r"words\.weight"):
        network().load_state_dict(state, strict=False)


def test_a_table_in_training_is_not_saved(tmp_path):
    small = network()
    ccompress.compress(small, 0.5, "in_training_svd_mixed", "words", counts=[WORDS])
    with pytest.raises(InputError, match=r"'words' is a .* in training: call ccompress.finish"):
        ccompress.save(small, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    ccompress.finish(small)
    ccompress.save(small, tmp_path / "new")
    assert torch.equal(ccompress.restore(network(1), tmp_path / "new")(WORDS), small(WORDS))


def rewritten(path, change):
    """Change the tensors of the file, but not its description."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"ccompress": json.dumps(ccompress.described(compressed()))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("words.B"), r"model.safetensors lacks 'words\.B'"),
        (lambda tensors: tensors.pop("scores.bias"), r"lacks 'scores\.bias'"),
        (lambda tensors: tensors.update(more=torch.ones(1)), "has 'more', which the network lacks"),
        (
            lambda tensors: tensors.update({"words.A": torch.ones(2, 2)}),
            r"'words\.A' has the shape \(2, 2\) in .* and \(600, 7\) in the network",
        ),
    ],
)
def test_the_error_of_a_file_that_does_not_fit_names_the_tensor(tmp_path, change, message):
    ccompress.save(compressed(), tmp_path)
    rewritten(tmp_path / "model.safetensors", change)
    fresh = network(1)
    before = states(fresh)
    with pytest.raises(InputError, match=message):
        ccompress.restore(fresh, tmp_path)
    assert unchanged(fresh, before)


def test_a_network_of_another_size_is_refused_and_stays_unchanged(tmp_path):
    ccompress.save(compressed(), tmp_path)
    other = network(1, rows=V + 1)
    before = states(other)
    with pytest.raises(InputError, match=r"'words' has 600 x 16 numbers .* and 601 x 16 here"):
        ccompress.restore(other, tmp_path)
    with pytest.raises(InputError, match=r"'words' is compressed .* the embeddings here: '0' "):
        ccompress.restructure(nn.Sequential(nn.Embedding(V, D)), compressed().state_dict())
    assert unchanged(other, before)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*model\.safetensors"):
        ccompress.restore(network(), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        ccompress.restore(network(), tmp_path)
    save_file(network().state_dict() | {"scores.weight": torch.ones(1)}, file)
    with pytest.raises(InputError, match=r"was not written by ccompress\.save"):
        ccompress.restore(network(), tmp_path)
    with pytest.raises(InputError, match=r"no key ends in \.structure"):
        ccompress.restructure(network(), network().state_dict())
    state = compressed().state_dict()
    state["words.structure"] = torch.tensor([1], dtype=torch.uint8)
    with pytest.raises(InputError, match=r"'words\.structure' of the state dict is damaged"):
        ccompress.restructure(network(), state)
    with pytest.raises(InputError, match="'words' is stored as 'Newer', which this ccompress does"):
        ccompress.restructure(network(), {"words": {"kind": "Newer"}})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtypes_are_kept(tmp_path, dtype):
    small = compressed().to(dtype)
    ccompress.save(small, tmp_path)
    again = ccompress.restore(network(1).to(dtype), tmp_path)
    assert torch.equal(again(WORDS), small(WORDS))


def test_a_state_dict_of_an_earlier_version_is_loaded():
    """It has no marks beside the compressed tables."""
    small = nn.Sequential(nn.Embedding(V, D))
    ccompress.compress(small, 0.5)
    old = {name: tensor for name, tensor in small.state_dict().items() if name in ("0.A", "0.B")}
    again = nn.Sequential(nn.Embedding(V, D))
    ccompress.compress(again, 0.5)
    again.load_state_dict(old)
    assert torch.equal(again(WORDS), small(WORDS))


def test_doctests():
    assert doctest.testmod(restructuring).failed == 0
