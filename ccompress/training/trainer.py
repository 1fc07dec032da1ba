"""The training loop. It refers to no method and no network by name."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.data.batches import Batch, Encoded, training_batches
from ccompress.embeddings.base import padding_unsought
from ccompress.errors import Diverged
from ccompress.networks.base import Network
from ccompress.training.best_epoch import BestEpoch
from ccompress.training.evaluation import accuracy, predict
from ccompress.training.optimizers import Optimizers


@dataclass(frozen=True)
class EpochRow:
    """The results of one epoch; its fields are the columns of metrics.csv.

    Attributes:
        stage: Which network was trained: `reference` is the uncompressed one, `prepared` the one
            from a method's own `prepare` before its compression, `compressed` the one after it.
        epoch: The epoch's number, counted from 1 over the whole training.
        step: The number of steps so far.
        lr: The learning rate of the epoch's last step.
        train_loss: The mean loss of the epoch's steps.
        dev_accuracy: The accuracy on dev in percent.
        seconds: The time for training and for evaluation on dev.
    """

    stage: str
    epoch: int
    step: int
    lr: float
    train_loss: float
    dev_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Recipe:
    """How every network of an experiment is trained.

    Attributes:
        learning_rate: The schedule. It takes a step (0, 1, ...) and the number of steps in an
            epoch, and returns the learning rate.
        batch_size: Sentences per step.
        seed: All randomness of an epoch derives from this seed and the epoch's number.
        optimizer: One of `ccompress.training.optimizers.OPTIMIZERS`.
    """

    learning_rate: Callable[[int, int], float]
    batch_size: int
    seed: int
    optimizer: str


def classification_loss(scores: Tensor, batch: Batch) -> Tensor:
    """The mean cross-entropy of a batch; its scores (sentences, classes) are before the softmax."""
    return F.cross_entropy(scores, batch.labels)


@dataclass(frozen=True)
class Stage:
    """How a part of a training goes; by default as that of the uncompressed network.

    Attributes:
        name: As `EpochRow.stage` tells it.
        scores: The scores of a batch in training; None: the network's own.
        evaluated: Makes the network that dev reads after each epoch; None: the network itself.
        loss: Of a batch and its scores, a scalar.
        learning_rate: The learning rate of a step, from its number and the number of steps in an
            epoch; None: the recipe's.
    """

    name: str
    scores: Callable[[Batch], Tensor] | None = None
    evaluated: Callable[[], Network] | None = None
    loss: Callable[[Tensor, Batch], Tensor] = classification_loss
    learning_rate: Callable[[int, int], float] | None = None


class Trainer:
    """A network in training, with its optimizers, its position in the schedule and its best epoch.

    The state after an epoch depends only on the state before it, the recipe and the epoch's number.
    So a training that is stored and resumed gives the same numbers to the last bit, if machine,
    device type, thread count and torch version are the same.

    Args:
        network: The network, on the same device as the splits.
        train: The training split, whose sentences contain no padding.
        dev: The split that decides which epoch is best.
        recipe: How to train.
        train_rows: The number of rows at the start of the table that belong to training words. The
            other rows never change and are not copied.
        on_epoch: A function that is called with the row of each epoch.
    """

    def __init__(
        self,
        network: Network,
        train: Encoded,
        dev: Encoded,
        recipe: Recipe,
        train_rows: int,
        on_epoch: Callable[[EpochRow], None],
    ) -> None:
        self.network = network
        self.train_split = train
        self.dev_split = dev
        self.recipe = recipe
        self.train_rows = train_rows
        self.on_epoch = on_epoch
        self.rows: list[EpochRow] = []
        self.epoch = 0
        self.step = 0
        self.best = BestEpoch()
        self.optimizers = Optimizers(recipe.optimizer, network, train_rows)

    @property
    def device(self) -> torch.device:
        """The device of the network and the splits."""
        return self.train_split.tokens.device

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in one epoch."""
        return -(-len(self.train_split) // self.recipe.batch_size)

    def train(
        self,
        stage: str | Stage,
        until: int,
        between: Callable[["Trainer"], None] = lambda _: None,
    ) -> None:
        """Train from the present epoch through epoch `until`, and keep the best epoch on dev.

        Args:
            stage: How to train. A name alone stands for the usual way.
            until: The number of the last epoch.
            between: Called after each epoch but the last, when the state may be stored.

        Raises:
            Diverged: The loss of a step was infinite or not a number.
        """
        stage = Stage(stage) if isinstance(stage, str) else stage
        while self.epoch < until:
            began = time.perf_counter()
            self.epoch += 1
            loss, rate = self._train_epoch(stage)
            read = self.network if stage.evaluated is None else stage.evaluated()
            score = accuracy(predict(read, self.dev_split), self.dev_split.labels)
            self.best.offer(score, self.trained_tensors())
            seconds = time.perf_counter() - began
            row = EpochRow(stage.name, self.epoch, self.step, rate, loss, score, seconds)
            self.rows.append(row)
            self.on_epoch(row)
            if self.epoch < until:
                between(self)

    def _train_epoch(self, stage: Stage) -> tuple[float, float]:
        """Train one epoch and return its mean loss and the learning rate of its last step."""
        self.network.train()
        # One seed per epoch, so that an epoch does not depend on how many epochs this process ran
        # before it. The factor keeps the epochs of this run apart from those of runs with other
        # seeds.
        seed = (self.recipe.seed * 1_000_003 + self.epoch) % 2**63
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        steps = self.steps_per_epoch
        losses = torch.empty(steps, device=self.device)
        learning_rate = stage.learning_rate or self.recipe.learning_rate
        rates = [learning_rate(self.step + i, steps) for i in range(steps)]
        batches = training_batches(self.train_split, self.recipe.batch_size, order)
        with padding_unsought(self.network):
            for i, batch in enumerate(batches):
                losses[i] = self._step(stage, batch, rates[i])
        # Check the losses once per epoch: a check per step would make the host wait for the device.
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            first = int(torch.argmin(finite.int()))
            raise Diverged(
                f"the loss was {losses[first].item()} at step {self.step + first} (epoch "
                f"{self.epoch}, learning rate {rates[first]:.3g}): lower schedule.upper"
            )
        self.step += steps
        return float(losses.mean()), rates[-1]

    def _step(self, stage: Stage, batch: Batch, rate: float) -> Tensor:
        """Take one step and return its loss, a scalar on the device, without waiting for it."""
        loss = stage.loss((stage.scores or self.network)(batch), batch)
        self.network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers.step(rate)
        return loss.detach()

    def replace_embedding(self, compress: Callable[[Tensor], nn.Module]) -> None:
        """Replace the embedding by its compressed form, between two epochs.

        The parameters of the new embedding start with a fresh optimizer state. All other parameters
        and their optimizer state stay unchanged to the last bit. The best epoch is forgotten, since
        only epochs of the network in its new form are candidates.

        Args:
            compress: Takes the table (V, d) and returns the new embedding.
        """
        others = {
            name: state
            for name, state in self.optimizers.state().items()
            if not name.startswith("embedding.")
        }
        # Free the table's two moments and its copy of the best epoch, each as large as the table,
        # before the new embedding needs memory.
        self.best = BestEpoch()
        del self.optimizers
        table = next(self.network.embedding.parameters()).detach()
        self.network.embedding = compress(table).to(self.device)
        self.optimizers = Optimizers(self.recipe.optimizer, self.network, self.train_rows)
        self.optimizers.load_state(others)

    def restore_best(self) -> None:
        """Set the network's parameters to those of its best epoch."""
        self.best.restore(self.trained_tensors())

    def trained_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each tensor that training can change; of the table, its first rows.

        The first `train_rows` rows of the table are the only ones that training can change.
        """
        for name, tensor in self.network.state_dict().items():
            is_table = name in self.optimizers.tables
            yield name, tensor[: self.train_rows] if is_table else tensor
