import pytest
import torch
from builders import encoded
from small_model import DIM, LABELS, OPTIONS, store, words
from torch import nn

import ccompress
from ccompress import storage
from ccompress.data.base import Columns
from ccompress.deployment import model
from ccompress.errors import InputError
from ccompress.networks import rest
from ccompress.networks.base import tensor_bytes
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
    """A user's own embedding, which keeps its arguments as torch's modules do."""

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
    """A network whose constructor uses the width not only for the first layer."""

    def __init__(self, embedding, width, classes, **options):
        super().__init__(embedding, width, classes, **options)
        self.scale = width**-0.5
        self.beside = nn.Linear(width, 1)

    def classify(self, mean):
        return super().classify(mean * self.scale) + self.beside.bias


FACTORISED = ("factors", "byte factors", "mixed")
PLACES = (".words", ".runs")


@pytest.mark.parametrize("network", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_is_the_stored_network_in_folded_form(tmp_path, network, kind):
    path, net = store(tmp_path, network, kind, 300)
    unfolded, net = net, fold(net)
    assert (net is unfolded) == (kind not in FACTORISED)
    loaded = model.load(path)
    assert type(loaded.network.embedding) is type(net.embedding)
    assert loaded.network.width == net.width
    before, after = net.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    rest = [key for key in before if not key.startswith("embedding.")]
    assert all(torch.equal(before[key], after[key]) for key in rest)
    rows_of_words = rows(loaded)
    assert rows_of_words.sort().values.equal(torch.arange(300))
    assert torch.equal(loaded.network.embedding(rows_of_words), net.embedding(torch.arange(300)))
    split = encoded(SENTENCES)
    scores = predict(loaded.network, encoded([rows_of_words[s].tolist() for s in SENTENCES]))
    assert torch.equal(scores, predict(net, split))
    torch.testing.assert_close(predict(net, split), predict(unfolded, split))
    assert loaded.words[:2] == ["<pad>", "<unk>"]
    assert kind == "mixed" or loaded.words == sorted(words(300))
    assert (loaded.labels, loaded.tokenizer) == (LABELS, "whitespace")
    assert loaded.config == {"network": OPTIONS[network]}
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    stored, _ = storage.load_numpy(path)  # quantized numbers are stored in their bits
    assert sum(t.nbytes for name, t in stored.items() if not name.startswith(".")) == sum(
        t.numel() * t.element_size() for t in before.values()
    )


def rows(small):
    """The row of each word of `words` in a stored model."""
    place = {word: row for row, word in enumerate(small.words)}
    return torch.tensor([place[word] for word in words(len(place))])


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_file_are_counted_before_it_is_written(tmp_path, kind):
    path, net = store(tmp_path, "dan", kind, 300)
    small = model.Model(net, words(300), LABELS, "whitespace", {"network": OPTIONS["dan"]})
    parts = model.contents(small).file_bytes()
    assert sum(parts) == path.stat().st_size
    folded = fold(net)
    assert parts.table == tensor_bytes(folded.embedding)
    assert parts.rest == 4 * (6 * folded.width + 6 + 6 * 6 + 6 + 3 * 6 + 3)
    tensors, _ = storage.load_numpy(path)
    assert parts.vocabulary == sum(tensors[name].nbytes for name in tensors if name in PLACES)
    assert 100 < parts.vocabulary < 400
    assert 600 < parts.metadata < 2000


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("network", OPTIONS)
@pytest.mark.parametrize("kind", ["whole", "factors", "mixed", "byte factors"])
def test_a_rounded_rest_gives_exactly_the_scores_that_were_tested(
    tmp_path, network, kind, precision
):
    _, net = store(tmp_path, network, kind, 300)
    config = {"network": OPTIONS[network], "rest": precision}
    unstored = model.Model(net, words(300), LABELS, "whitespace", config)
    path = tmp_path / "rounded.safetensors"
    size = model.save(path, unstored)
    loaded = model.load(path)
    assert loaded.config == config
    rows_of_words = rows(loaded)
    scores = predict(loaded.network, encoded([rows_of_words[s].tolist() for s in SENTENCES]))
    tested = rest.shipped(net, precision)
    assert torch.equal(scores, predict(tested, encoded(SENTENCES)))
    assert not torch.equal(scores, predict(fold(net), encoded(SENTENCES)))
    before = {k: v for k, v in tested.state_dict().items() if not k.startswith("embedding.")}
    after = loaded.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)

    parts = model.contents(unstored).file_bytes()
    assert sum(parts) == size
    stored, _ = storage.load_numpy(path)
    for name, tensor in before.items():  # two bytes per row of a matrix or number of a vector
        steps = stored[name + ".step" if tensor.dim() == 2 else name]
        assert steps.nbytes == 2 * len(tensor)
    parts_of_rest = (n for n in stored if n[0] != "." and not n.startswith("embedding."))
    assert parts.rest == sum(stored[name].nbytes for name in parts_of_rest)
    assert parts.rest == rest.stored_bytes(tested, precision)
    unrounded = sum(tensor.nbytes for tensor in before.values())
    assert parts.rest < unrounded * {"int8": 0.6, "int4": 0.5}[precision]  # the layers are tiny


def test_rows_of_a_users_embedding_keep_their_order(tmp_path):
    options = {"_target_": "ccompress.networks.DAN", "hidden": 4}
    path, _ = store(tmp_path, options, Scaled(300, 3), 300)
    assert model.load(path, trust=__name__).words == words(300)
    assert not {".runs"} & storage.load_numpy(path)[0].keys()


def test_a_users_classes_are_stored_by_their_dotted_paths(tmp_path):
    options = {"_target_": f"{OwnNetwork.__module__}.OwnNetwork", "hidden": 4}
    path, net = store(tmp_path, options, Scaled(40, 3, scale=2.5))
    loaded = model.load(path, trust=__name__)
    assert isinstance(loaded.network, OwnNetwork)
    assert loaded.network.embedding.scale == 2.5
    split = encoded(SENTENCES)
    assert torch.equal(predict(loaded.network, split), predict(net, split))


def test_a_users_network_is_built_with_its_old_width_and_folded_again(tmp_path):
    options = {"_target_": f"{__name__}.ScaledByWidth", "hidden": 4}
    path, net = store(tmp_path, options, "factors")
    small = model.load(path, trust=__name__)
    loaded, rows_of_words = small.network, rows(small)
    assert (loaded.width, loaded.hidden[0].in_features) == (5, 5)
    assert loaded.beside.in_features == net.width == DIM
    scores = predict(loaded, encoded([rows_of_words[s].tolist() for s in SENTENCES]))
    torch.testing.assert_close(scores, predict(net, encoded(SENTENCES)))


def test_an_embedding_that_cannot_be_described_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="Sequential cannot be stored: its constructor's 'args'"):
        store(tmp_path, table=nn.Sequential(nn.Embedding(40, 3)))


def test_the_probabilities_of_a_text_do_not_depend_on_other_texts(tmp_path, device):
    small = model.load(store(tmp_path)[0], device)
    texts = ["w5 W7 w39 w2", "", "unseen", "w3", "<pad> w9", "  w3 "]
    spoken = [[*map(small.words.__getitem__, small.encode(text))] for text in texts]
    pad, unk = "<pad>", "<unk>"
    assert spoken == [["w5", "w7", "w39", "w2"], [pad], [unk], ["w3"], [unk, "w9"], ["w3"]]
    assert small.words[:2] == [pad, unk]
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
    predictions = small.predict(texts)
    assert predictions == ccompress.load(path).predict(texts)
    for prediction, row in zip(predictions, small.probabilities(texts).tolist(), strict=True):
        if prediction.label is None:
            assert prediction == (None, None, {})
            continue
        assert prediction.probabilities == dict(zip(LABELS, row, strict=True))
        assert list(prediction.probabilities.values()) == sorted(row, reverse=True)
        assert prediction.label == max(prediction.probabilities, key=lambda k: row[LABELS.index(k)])
        assert prediction.probability == max(row)
    assert [prediction.label is None for prediction in predictions] == [False, True, False, True]
    two = small.predict(texts, top=2)[0]
    assert list(two.probabilities.items()) == list(predictions[0].probabilities.items())[:2]
    assert small.predict([]) == []
    for arguments, message in ((("w5",), "a list of texts"), ((["w5"], 0), "top=0")):
        with pytest.raises(InputError, match=message):
            small.predict(*arguments)


def test_the_first_of_equally_probable_labels_is_predicted(tmp_path):
    path, _ = store(tmp_path)
    tensors, metadata = storage.load(path)
    numbers = {name: 0 * tensor for name, tensor in tensors.items() if name[0] != "."}
    storage.save(path, {**tensors, **numbers}, metadata)
    assert list(ccompress.load(path).predict(["w5"])[0].probabilities) == LABELS


def test_a_run_is_loaded_by_the_first_letters_of_its_id(tmp_path, monkeypatch):
    path, _ = store(tmp_path / "results" / "runs" / "5f7c01")
    with pytest.raises(InputError, match="no run '5f7c' in results/runs"):
        model.load("5f7c")
    monkeypatch.chdir(tmp_path)
    assert model.load("5f7c").words == model.load(path).words
    with pytest.raises(InputError, match=r"there is no file 5f7d/model.safetensors"):
        model.load("5f7d/model.safetensors")


def test_a_model_is_shown_in_a_line(tmp_path):
    path, net = store(tmp_path, rows=5000)
    expected = "<DAN over 5,000 rows of words; 3 classes: 'bad', 'fair', 'good'; tokenizer whitesp"
    assert repr(model.load(path)).startswith(expected)
    labels = [f"label {i}" for i in range(150)]
    many = model.Model(net, words(5000), labels, "whitespace", {"network": OPTIONS["dan"]})
    assert "150 classes: 'label 0', 'label 1', 'label 2', 'label 3', 'label 4', …;" in str(many)


def test_columns_are_stored_and_earlier_files_have_none(tmp_path):
    path, net = store(tmp_path)
    assert model.load(path).columns is None
    config = {"network": OPTIONS["dan"]}
    model.save(path, model.Model(net, words(40), LABELS, "whitespace", config, Columns("a", "b")))
    assert model.load(path).columns == Columns("a", "b")
