import json
import sys

import pytest
import torch
from builders import encoded
from small_model import DIM, LABELS, OPTIONS, store, words
from torch import nn

import ccompress
from ccompress import cli, storage
from ccompress.deployment import model
from ccompress.errors import InputError
from ccompress.networks.dan import DAN
from ccompress.networks.folding import fold
from ccompress.training.evaluation import predict

KINDS = [
    "whole",
    "narrow",
    "factors",
    "1",
    "3",
    "32",
    "byte factors",
    "codebook",
    "product",
    "mixed",
]
SENTENCES = [[2, 3, 4], [39], [5, 5, 1, 7, 30, 2], [8, 9]]


class Scaled(nn.Module):
    """An embedding of a user's own, which keeps its arguments as torch's modules do."""

    def __init__(self, rows, dim, scale=1.0):
        super().__init__()
        self.rows, self.dim, self.scale = rows, dim, scale
        self.numbers = nn.Parameter(torch.randn(rows, dim))
        self.register_buffer("fixed", torch.arange(float(dim)), persistent=False)

    def forward(self, indices):
        return self.scale * self.numbers[indices] + self.fixed


class OwnNetwork(DAN):
    pass


class ScaledByWidth(DAN):
    """A network whose constructor keeps more of the width than its first layer."""

    def __init__(self, embedding, width, classes, **options):
        super().__init__(embedding, width, classes, **options)
        self.scale = width**-0.5
        self.beside = nn.Linear(width, 1)

    def classify(self, mean):
        return super().classify(mean * self.scale) + self.beside.bias


FACTORISED = ("factors", "byte factors", "mixed")


@pytest.mark.parametrize("network", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_model_is_the_network_that_was_stored_folded(tmp_path, network, kind):
    path, net = store(tmp_path, network, kind, 300)
    unfolded, net = net, fold(net)
    assert (net is unfolded) == (kind not in FACTORISED)
    loaded = model.load(path)
    assert type(loaded.network.embedding) is type(net.embedding)
    assert loaded.network.width == net.width
    before, after = net.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    split = encoded(SENTENCES)
    assert torch.equal(predict(loaded.network, split), predict(net, split))
    torch.testing.assert_close(predict(net, split), predict(unfolded, split))
    assert (loaded.words, loaded.labels, loaded.tokenizer) == (words(300), LABELS, "whitespace")
    assert loaded.config["network"] == OPTIONS[network]
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    stored, _ = storage.load_numpy(path)  # quantized numbers in their bits
    assert sum(t.nbytes for t in stored.values()) == sum(
        t.numel() * t.element_size() for t in before.values()
    )


def test_classes_of_a_users_own_are_stored_by_their_dotted_paths(tmp_path):
    options = {"_target_": f"{OwnNetwork.__module__}.OwnNetwork", "hidden": 4}
    path, net = store(tmp_path, options, Scaled(40, 3, scale=2.5))
    loaded = model.load(path, trust=__name__)
    assert isinstance(loaded.network, OwnNetwork)
    assert loaded.network.embedding.scale == 2.5
    split = encoded(SENTENCES)
    assert torch.equal(predict(loaded.network, split), predict(net, split))


def test_ones_own_network_is_built_with_the_width_that_it_had_and_folded_again(tmp_path):
    options = {"_target_": f"{__name__}.ScaledByWidth", "hidden": 4}
    path, net = store(tmp_path, options, "factors")
    loaded = model.load(path, trust=__name__).network
    assert (loaded.width, loaded.hidden[0].in_features) == (5, 5)
    assert loaded.beside.in_features == net.width == DIM
    split = encoded(SENTENCES)
    torch.testing.assert_close(predict(loaded, split), predict(net, split))


def test_an_embedding_that_cannot_be_described_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="Sequential cannot be stored: its constructor's 'args'"):
        store(tmp_path, table=nn.Sequential(nn.Embedding(40, 3)))


def test_probabilities_are_those_of_each_text_alone(tmp_path, device):
    small = model.load(store(tmp_path)[0], device)
    texts = ["w5 W7 w39 w2", "", "unseen", "w3", "<pad> w9", "  w3 "]
    assert [small.encode(text) for text in texts] == [[5, 7, 39, 2], [0], [1], [3], [1, 9], [3]]
    together = small.probabilities(texts)
    assert together.device.type == "cpu"
    for text, row in zip(texts, together, strict=True):
        assert torch.allclose(small.probabilities([text])[0], row, atol=1e-6)
    assert torch.allclose(together.sum(1), torch.ones(len(texts)))
    assert small.probabilities([]).shape == (0, 3)


def test_the_library_predicts_labels_with_probabilities(tmp_path):
    path, _ = store(tmp_path)
    small = ccompress.load(str(tmp_path))  # a run's folder
    texts = ["w5 W7 w39 w2", "", "unseen", " \t"]
    said = small.predict(texts)
    assert said == ccompress.load(path).predict(texts)
    for prediction, row in zip(said, small.probabilities(texts).tolist(), strict=True):
        if prediction.label is None:
            assert prediction == (None, None, {})
            continue
        assert prediction.probabilities == dict(zip(LABELS, row, strict=True))
        assert list(prediction.probabilities.values()) == sorted(row, reverse=True)
        assert prediction.label == max(prediction.probabilities, key=lambda k: row[LABELS.index(k)])
        assert prediction.probability == max(row)
    assert [prediction.label is None for prediction in said] == [False, True, False, True]
    two = small.predict(texts, top=2)[0]
    assert list(two.probabilities.items()) == list(said[0].probabilities.items())[:2]
    assert small.predict([]) == []
    for arguments, message in ((("w5",), "a list of texts"), ((["w5"], 0), "top=0")):
        with pytest.raises(InputError, match=message):
            small.predict(*arguments)


def test_of_equally_probable_labels_the_first_is_told(tmp_path):
    path, _ = store(tmp_path)
    tensors, metadata = storage.load(path)
    storage.save(path, {name: 0 * tensor for name, tensor in tensors.items()}, metadata)
    assert list(ccompress.load(path).predict(["w5"])[0].probabilities) == LABELS


def damaged(path, how):
    whole = path.read_bytes()
    if how == "flipped":
        return whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    if how == "altered":
        return whole.replace(b"good", b"baad")
    return {"empty": b"", "text": b"hello\n" * 100, "header": whole[:9], "cut": whole[:-100]}[how]


@pytest.mark.parametrize("how", ["flipped", "altered", "empty", "text", "header", "cut"])
def test_a_damaged_file_gives_one_line(tmp_path, how):
    path, _ = store(tmp_path)
    path.write_bytes(damaged(path, how))
    with pytest.raises(InputError) as caught:
        model.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_file_is_no_model(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(InputError, match="there is no file"):
        model.load(path)
    storage.save(path, {"table": torch.ones(3)}, {"words": "[]"})
    with pytest.raises(InputError, match="is not a model"):
        model.load(path)


def altered(tmp_path, **metadata):
    path, _ = store(tmp_path)
    tensors, stored = storage.load(path)
    storage.save(path, tensors, {**stored, **metadata})
    return path


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "99"}, "written by another version of ccompress"),
        ({"config": json.dumps({"network": {"_target_": "nowhere.Network"}})}, "--trust nowhere"),
        (
            {"config": json.dumps({"network": {"_target_": "torch.nn.Embedding"}})},
            "is not a subclass of Network",
        ),
        ({"config": json.dumps({"network": {"_target_": 3}})}, "cannot be built"),
        ({"config": json.dumps({"network": {**OPTIONS["dan"], "width": 1}})}, "width"),
        ({"config": json.dumps({"network": {**OPTIONS["dan"], "hidden": 7}})}, "size mismatch"),
        ({"labels": '["one"]'}, "size mismatch"),
        ({"config": "{"}, "cannot be built"),
        ({"words": '["<pad>", "<unk>"]'}, "2 words for 40 rows"),
        ({"labels": "[]"}, "it has no labels"),
        ({"embedding": "{}"}, "lacks '_target_'"),
    ],
)
def test_what_cannot_be_built_here_is_said_in_one_line(tmp_path, metadata, message):
    path = altered(tmp_path, **metadata)
    with pytest.raises(InputError, match=message) as caught:
        model.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


PLANTED = {
    "network": {"config": json.dumps({"network": {"_target_": "planted.tree.Name"}})},
    "embedding": {"embedding": json.dumps({"_target_": "planted.tree.Name"})},
    "tokenizer": {"tokenizer": "planted.tree.Name"},
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A package that anyone could have installed; what it leaves behind when it is imported."""
    package = tmp_path / "site" / "planted"
    package.mkdir(parents=True)
    trace = tmp_path / "trace"
    (package / "__init__.py").write_text(f"open({str(trace)!r}, 'w').close()")
    (package / "tree.py").write_text("Name = str.split")
    monkeypatch.syspath_prepend(package.parent)
    yield trace
    for name in [name for name in sys.modules if name.partition(".")[0] == "planted"]:
        del sys.modules[name]


@pytest.mark.parametrize("place", PLANTED)
@pytest.mark.parametrize("trust", [(), "plant", ["planted.tre", "planted.tree.Names", ""]])
def test_a_planted_module_does_not_run(tmp_path, planted, place, trust):
    path = altered(tmp_path, **PLANTED[place])
    with pytest.raises(InputError, match=r"planted\.tree\.Name.* give --trust planted \(in Python"):
        model.load(path, trust=trust)
    assert not planted.exists()
    assert "planted" not in sys.modules


@pytest.mark.parametrize("place", PLANTED)
@pytest.mark.parametrize("trust", ["planted", ["shlex", "planted.tree"], "planted.tree.Name"])
def test_what_is_trusted_is_imported_but_must_be_of_its_kind(tmp_path, planted, place, trust):
    path = altered(tmp_path, **PLANTED[place])
    if place == "tokenizer":
        assert model.load(path, trust=trust).encode("w3 w4") == [3, 4]
    else:
        with pytest.raises(
            InputError, match=r"planted\.tree\.Name is not a subclass of (Network|Module)$"
        ):
            model.load(path, trust=trust)
    assert planted.exists()


def test_a_file_cannot_have_any_function_called(tmp_path):
    trap = tmp_path / "trap"
    path = altered(tmp_path, embedding=json.dumps({"_target_": "os.mkdir", "path": str(trap)}))
    with pytest.raises(InputError, match=r"os\.mkdir is not a subclass of Module"):
        model.load(path, trust="os")
    assert not trap.exists()
    with pytest.raises(InputError, match=r"tokenizers: ccompress\.cli\.command; if"):
        model.load(altered(tmp_path, tokenizer="ccompress.cli.command"))


def test_all_that_is_not_trusted_is_named_at_once(tmp_path, capsys):
    path = altered(tmp_path, embedding='{"_target_": "torch.nn.Linear"}', tokenizer="shlex.split")
    assert cli.command(["predict", str(path), "/dev/null"]) == 2
    error = capsys.readouterr().err
    assert "torch.nn.Linear, shlex.split; if you trust it" in error
    assert "give --trust torch --trust shlex (in Python trust=['torch', 'shlex'])" in error
    path = altered(tmp_path, tokenizer="shlex.split")
    assert cli.command(["predict", str(path), "/dev/null", "--trust", "shlex"]) == 0
