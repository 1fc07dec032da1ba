import copy

import pytest
import torch
from torch import nn

import ccompress
from ccompress.errors import Diverged, InputError
from ccompress.library import recovery

V, D = 300, 16
DRAW = torch.Generator().manual_seed(0)
BATCHES = [torch.randint(0, V, (16, 6), generator=DRAW) for _ in range(8)]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(V, D)
        self.hidden = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Dropout(0.5))

    def forward(self, words):
        return self.hidden(self.words(words))


def pair(method="in_training_svd", rate=0.75):
    teacher = Network()
    model = copy.deepcopy(teacher)
    ccompress.compress(model, rate, method)
    return model, teacher


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def recover(model, teacher, data=BATCHES, **options):
    options = {"upper": 0.01, "epochs": 10, "progress": False} | options
    return ccompress.recover(model, teacher, data, **options)


@pytest.mark.parametrize(
    "output", ["last", "pooled", lambda output_states, words: output_states[:, 0]]
)
@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_recovery_brings_the_outputs_nearer_to_the_teacher(output, loss):
    model, teacher = pair()
    before = state(teacher)
    losses = recover(model, teacher, output=output, loss=loss)
    assert len(losses) == 80
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_first_loss_is_the_distance_without_dropout_and_modes_are_restored():
    model, teacher = pair()
    model.train()
    teacher.eval()
    expected = (copy.deepcopy(model).eval()(BATCHES[0]) - teacher(BATCHES[0])).square().mean()
    [loss] = recover(model, teacher, BATCHES[:1], epochs=1)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert (model.training, model.hidden[2].training, teacher.training) == (True, True, False)


def test_only_the_rest_adapts_to_frozen_tables_and_only_tables_adapt_on_request():
    model, teacher = pair("quantization", 0.9)
    before = state(model)
    losses = recover(model, teacher)
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"hidden.0.weight", "hidden.0.bias"}
    with pytest.raises(InputError, match="no compressed embedding that trains"):
        recover(model, teacher, embeddings_only=True)

    model, teacher = pair()
    before = state(model)
    recover(model, teacher, embeddings_only=True, epochs=1)
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"words.A", "words.B"}


def test_each_epoch_reads_all_texts_once_in_steps_of_similar_lengths():
    lengths = torch.randint(1, 400, (1000,), generator=DRAW).tolist()
    plan = recovery._Plan(1000, 2, 16, 1e-5, 1e-3, 3, "last", "mse", False, 0)
    first, second = plan.batches(0, lengths), plan.batches(1, lengths)
    for batches in (first, second):
        assert sorted(number for batch in batches for number in batch) == list(range(1000))
        assert len(batches) == plan.steps_per_epoch
        longest = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
        assert longest < 1.1 * sum(lengths)
        means = torch.tensor([lengths[batch[0]] for batch in batches[:20]])
        assert not torch.equal(means, means.sort().values)
    assert first != second
    assert first == plan.batches(0, lengths)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("method", ["in_training_svd", "in_training_svd_mixed"])
@pytest.mark.parametrize("stop", [5, 11, 24])
def test_an_interrupted_recovery_continues_exactly(tmp_path, monkeypatch, stop, method):
    def fresh():
        teacher = Network()
        model = copy.deepcopy(teacher)
        counts = BATCHES if method.endswith("mixed") else None
        ccompress.compress(model, 0.75, method, counts=counts)
        return model, teacher

    uninterrupted, teacher = fresh()
    expected = recover(uninterrupted, teacher, epochs=3)
    monkeypatch.setattr(recovery, "_SECONDS", 0.0)
    file = tmp_path / "recovery.safetensors"
    read = recovery._inputs
    steps = []

    def stopping(*arguments):
        steps.append(arguments)
        if len(steps) > stop:
            raise Stopped
        return read(*arguments)

    monkeypatch.setattr(recovery, "_inputs", stopping)
    model, teacher = fresh()
    if stop < 24:
        with pytest.raises(Stopped):
            recover(model, teacher, epochs=3, checkpoint=file)
    else:
        recover(model, teacher, epochs=3, checkpoint=file)
    monkeypatch.setattr(recovery, "_inputs", read)
    model, teacher = fresh()  # as in another process
    assert recover(model, teacher, epochs=3, checkpoint=file) == expected
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, uninterrupted.state_dict()[name])
    with pytest.raises(InputError, match=r"recovery\.safetensors belongs to another training"):
        recover(model, teacher, epochs=4, checkpoint=file)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"recovery\.safetensors is damaged: .*delete it"):
        recover(model, teacher, epochs=3, checkpoint=file)


def test_texts_are_tokenized_and_padding_does_not_count():
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[PAD]": 0, "[UNK]": 1} | {f"w{i}": i + 2 for i in range(V - 2)}
    word_level = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    word_level.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=word_level, pad_token="[PAD]")
    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=D,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    torch.manual_seed(0)
    teacher = transformers.BertModel(config).eval()
    model = copy.deepcopy(teacher)
    ccompress.compress(model, 0.75, name="*.word_embeddings")
    texts = ["w1 w2 w3 w4 w5", "w6"]
    for output in ("last", "pooled"):
        with torch.no_grad():
            rows = []
            for one in (model, teacher):
                states = [one(**tokenizer(text, return_tensors="pt"))[0][0] for text in texts]
                pooled = torch.stack([each.mean(0) for each in states])
                rows.append(torch.cat(states) if output == "last" else pooled)
        [loss] = recover(
            copy.deepcopy(model), teacher, texts, tokenizer=tokenizer, epochs=1, output=output
        )
        assert loss == pytest.approx((rows[0] - rows[1]).square().mean().item(), rel=1e-4)
    losses = recover(model, teacher, texts * 8, tokenizer=tokenizer, batch_size=4)
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "data is empty"),
        ("one", {}, "data is empty or one text"),
        (["one"], {}, "data are texts: give the tokenizer too"),
        (BATCHES, {"epochs": 0}, "epochs=0: give at least 1"),
        (BATCHES, {"output": "first"}, "output='first': give 'last' or 'pooled', or a function"),
        (BATCHES, {"loss": "l1"}, "loss='l1': give 'mse' or 'cosine'"),
        (BATCHES, {"upper": 1e-6}, "give 0 < lower < upper"),
    ],
)
def test_bad_arguments_are_refused(data, options, message):
    with pytest.raises(InputError, match=message):
        recover(*pair(), data, **options)


def test_networks_that_cannot_be_recovered_are_refused():
    model, teacher = pair()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter that trains"):
        recover(model, teacher)
    with pytest.raises(InputError, match=r"shapes \(16, 6, 16\) and \(16, 6\)"):
        recover(
            pair()[0], nn.Embedding(V, 1).requires_grad_(False), output=lambda s, w: s.squeeze(-1)
        )
    sparse = nn.Sequential(nn.Embedding(V, D, sparse=True))
    ccompress.compress(sparse, 0.5)
    with pytest.raises(InputError, match="'0' has sparse gradients"):
        recover(sparse, teacher)


def test_a_loss_that_is_not_finite_ends_the_recovery():
    model, teacher = pair()
    with torch.no_grad():
        model.words.A[:] = torch.nan
    with pytest.raises(Diverged, match="the loss is nan at step 1: give a lower upper="):
        recover(model, teacher)
