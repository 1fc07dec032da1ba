import math
from contextlib import contextmanager, nullcontext

import pytest
import torch
from builders import NETWORKS, TRAINED, new_trainer, random_split, trained_embedding
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ccompress.data.batches import evaluation_batches
from ccompress.errors import Diverged
from ccompress.experiment.shared_training import Store, train_reference
from ccompress.networks import rest
from ccompress.training.evaluation import accuracy, predict
from ccompress.training.optimizers import OPTIMIZERS
from ccompress.training.trainer import Stage


def parameters(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_learns_and_is_the_same_twice_to_the_last_bit(name, device):
    first, second = (new_trainer(name, lr=0.03, device=device) for _ in range(2))
    first.train("reference", 6)
    torch.rand(7)  # another use of the global generator makes no difference
    second.train("reference", 6)
    assert equal(parameters(first.network), parameters(second.network))
    assert [r.dev_accuracy for r in first.rows] == [r.dev_accuracy for r in second.rows]
    assert first.rows[-1].train_loss < 0.8 * first.rows[0].train_loss


def test_another_seed_gives_another_training(device):
    first, second = (new_trainer(seed=seed, device=device) for seed in (1, 2))
    first.network.load_state_dict(second.network.state_dict())
    first.train("reference", 1)
    second.train("reference", 1)
    assert not equal(parameters(first.network), parameters(second.network))


NETWORKS_AND_OPTIMIZERS = [(name, "adam") for name in NETWORKS]
NETWORKS_AND_OPTIMIZERS += [("dan", name) for name in OPTIMIZERS if name != "adam"]


def store(folder):
    return Store(folder, "key", "run")


@pytest.mark.parametrize(("name", "optimizer"), NETWORKS_AND_OPTIMIZERS)
@pytest.mark.parametrize("stored", [1, 3])
def test_a_stored_training_continues_with_the_same_numbers(
    tmp_path, name, optimizer, stored, device
):
    def fresh():
        return new_trainer(name, device=device, optimizer=optimizer)

    uninterrupted = fresh()
    uninterrupted.train("reference", 5)
    assert train_reference(fresh(), store(tmp_path), stored) is False
    resumed = fresh()
    assert train_reference(resumed, store(tmp_path), 5) is True  # the first epochs
    again = fresh()
    assert train_reference(again, store(tmp_path), 5) is True
    for other in (resumed, again):
        assert equal(parameters(uninterrupted.network), parameters(other.network))
        assert [vars(r) | {"seconds": 0} for r in uninterrupted.rows] == [
            vars(r) | {"seconds": 0} for r in other.rows
        ]
        other.restore_best()
    uninterrupted.restore_best()
    assert equal(parameters(uninterrupted.network), parameters(again.network))


def test_a_damaged_stage_is_trained_again(tmp_path):
    uninterrupted = new_trainer()
    train_reference(uninterrupted, store(tmp_path), 2)
    path = tmp_path / "key-2.safetensors"
    contents = bytearray(path.read_bytes())
    contents[-3] ^= 1
    path.write_bytes(contents)
    again = new_trainer()
    assert train_reference(again, store(tmp_path), 2) is False
    assert equal(parameters(uninterrupted.network), parameters(again.network))


def test_the_best_epoch_on_dev_is_kept_and_the_earliest_in_a_tie(monkeypatch):
    scores = iter([50.0, 70.0, 70.0, 60.0])
    monkeypatch.setattr("ccompress.training.trainer.accuracy", lambda *_: next(scores))
    trainer = new_trainer()
    recorded = []
    trainer.on_epoch = lambda row: recorded.append(parameters(trainer.network))
    trainer.train("reference", 4)
    trainer.restore_best()
    assert equal(parameters(trainer.network), recorded[1])
    assert trainer.best.accuracy == 70.0


def test_after_a_compression_only_later_epochs_are_candidates(monkeypatch):
    scores = iter([99.0, 10.0])
    monkeypatch.setattr("ccompress.training.trainer.accuracy", lambda *_: next(scores))
    trainer = new_trainer()
    trainer.train("reference", 1)
    trainer.replace_embedding(
        lambda _: nn.Embedding.from_pretrained(torch.zeros(50, 8), freeze=False)
    )
    trainer.train("compressed", 2)
    trainer.restore_best()
    assert trainer.best.accuracy == 10.0


def test_replacing_the_embedding_keeps_everything_else_to_the_last_bit(device):
    trainer = new_trainer(device=device)
    trainer.train("reference", 2)
    before = parameters(trainer.network)
    states = {
        name: {key: value.clone() for key, value in state.items()}
        for name, state in trainer.optimizers.state().items()
    }
    assert states.keys() == dict(trainer.network.named_parameters()).keys()
    new = nn.Embedding.from_pretrained(torch.randn(50, 8), freeze=False, sparse=True)
    recorded = []
    trainer.replace_embedding(lambda table: (recorded.append(table.clone()), new)[1])
    assert torch.equal(recorded[0], before["embedding.weight"])  # the table after the last epoch
    for name, parameter in trainer.network.named_parameters():
        if name.startswith("embedding."):
            assert parameter is new.weight
            assert parameter.device.type == device.type
            assert name not in trainer.optimizers.state()
        else:
            assert torch.equal(parameter, before[name])
            assert equal(trainer.optimizers.state()[name], states[name])
    assert trainer.step == 2 * trainer.steps_per_epoch


class NoAnswers(TorchDispatchMode):
    """Refuses operations for whose result, or its shape, the host would have to wait."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.index.Tensor:
            asks = any(index is not None and index.dtype == torch.bool for index in args[1])
        else:
            asks = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(
                function.tags
            )
        assert not asks, f"{function} waits for the device"
        return function(*args, **(kwargs or {}))


@contextmanager
def never_waiting(device):
    """Fails if the host waits for the device, or would wait if the device were a GPU."""
    if device.type == "cpu":
        with NoAnswers():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_stage_has_its_own_loss_learning_rate_and_evaluation():
    usual, other, halved = (new_trainer() for _ in range(3))
    usual.train("reference", 2)
    other.train(Stage("mine", loss=lambda scores, batch: 0 * scores.sum()), 2)
    assert [row.stage for row in other.rows] == ["mine", "mine"]
    assert {row.train_loss for row in other.rows} == {0.0}
    schedule = halved.recipe.learning_rate
    halved.train(Stage("slow", learning_rate=lambda step, steps: schedule(step, steps) / 2), 2)
    assert [row.lr for row in halved.rows] == [row.lr / 2 for row in usual.rows]

    untrained = new_trainer().network  # its accuracy never changes, so the first epoch is kept
    trainer = new_trainer()
    trainer.train(Stage("other", evaluated=lambda: untrained), 1)
    after_one = parameters(trainer.network)
    trainer.train(Stage("other", evaluated=lambda: untrained), 3)
    assert trainer.rows[-1].dev_accuracy == trainer.rows[0].dev_accuracy
    trainer.restore_best()
    assert equal(parameters(trainer.network), after_one)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_training_through_rounding_computes_with_the_shipped_weights(name, kind, precision, device):
    trainer = new_trainer(name, device=device)
    trainer.replace_embedding(lambda table: trained_embedding(kind, table))
    network = trainer.network.eval()
    through = rest.ThroughRounding(network, precision)
    shipped = rest.shipped(network, precision)
    batch = next(evaluation_batches(trainer.dev_split))
    scores = through(batch)
    torch.testing.assert_close(scores, shipped(batch), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(scores, network(batch), rtol=1e-4, atol=1e-4)

    # The gradient is that of an unrounded network at the rounded weights. The biases of the last
    # layer have the gradient of the shipped network, and every parameter has a gradient.
    scores.square().sum().backward()
    expected = 2 * scores.detach().sum(0)
    torch.testing.assert_close(network.output.bias.grad, expected, rtol=1e-4, atol=1e-4)
    assert all(p.grad is not None for p in network.parameters())
    before = trainer.rows
    trainer.train(Stage("compressed", through, lambda: rest.shipped(network, precision)), 2)
    assert len(before) == 2
    score = accuracy(
        predict(rest.shipped(network, precision), trainer.dev_split), trainer.dev_split.labels
    )
    assert trainer.rows[-1].dev_accuracy == score


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize(("name", "optimizer"), NETWORKS_AND_OPTIMIZERS)
def test_the_host_never_waits_for_the_device_in_a_step(monkeypatch, name, optimizer, kind, device):
    if optimizer == "adagrad" and device.type == "cpu":
        pytest.skip(
            "torch counts Adagrad's steps on the CPU, where reading the count waits for nothing"
        )
    trainer = new_trainer(name, device=device, optimizer=optimizer)
    trainer.replace_embedding(lambda table: trained_embedding(kind, table))
    trainer.train("reference", 1)  # the first epoch may wait
    step, steps = trainer._step, []

    def watched(stage, batch, rate):
        with never_waiting(device):
            loss = step(stage, batch, rate)
        steps.append(loss)
        return loss

    monkeypatch.setattr(trainer, "_step", watched)
    trainer.train("reference", 2)
    assert len(steps) == trainer.steps_per_epoch
    assert trainer.network.embedding.padding_idx == 0  # training has restored it


def test_training_without_a_search_for_padding_gives_the_same_numbers(monkeypatch, device):
    ours, torchs = (new_trainer(device=device) for _ in range(2))
    before = parameters(ours.network)["embedding.weight"]
    ours.train("reference", 2)
    monkeypatch.setattr("ccompress.training.trainer.padding_unsought", nullcontext)
    torchs.train("reference", 2)
    assert equal(parameters(ours.network), parameters(torchs.network))
    assert torch.equal(ours.network.embedding.weight[0], before[0])


def test_rows_that_training_cannot_touch_never_change(device):
    trainer = new_trainer(device=device)
    before = trainer.network.embedding.weight.detach().clone()
    trainer.train("reference", 3)
    after = trainer.network.embedding.weight.detach()
    assert torch.equal(after[40:], before[40:])
    assert not torch.equal(after[2:40], before[2:40])


def test_the_first_bad_step_is_named(device):
    trainer = new_trainer(lr=0.01, device=device)
    trainer.recipe = type(trainer.recipe)(
        lambda step, steps: math.inf if step == 9 else 0.01, 16, 0, "adam"
    )
    with pytest.raises(Diverged, match=r"at step 10 \(epoch 2"):
        trainer.train("reference", 5)


def test_accuracy_is_a_percentage():
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [0.0, 5.0]])
    assert accuracy(scores, torch.tensor([0, 1, 1, 1])) == 75.0


def test_predictions_are_in_the_order_of_the_split(device):
    trainer = new_trainer(device=device)
    split = random_split(30, 40, 5).to(device)
    scores = predict(trainer.network, split)
    ends = split.lengths.cumsum(0)
    for i in (0, 13, 29):
        alone = type(split)(
            split.tokens[ends[i] - split.lengths[i] : ends[i]],
            split.lengths[i : i + 1],
            split.labels[i : i + 1],
        )
        assert torch.allclose(predict(trainer.network, alone)[0], scores[i], atol=1e-6)
