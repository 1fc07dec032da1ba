"""One training loop. It knows neither methods nor networks by name."""

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
    """What one epoch gave; the columns of metrics.csv.

    Attributes:
        stage: What was trained: `reference`, the uncompressed network; `prepared`, what a method's
            own `prepare` made, before its compression; `compressed`.
        epoch: Counted from 1 over the whole training.
        step: Steps taken so far.
        lr: Learning rate of the epoch's last step.
        train_loss: Mean loss of its steps.
        dev_accuracy: In percent.
        seconds: For training and evaluation on dev.
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
        learning_rate: The schedule: learning rate at a step (0, 1, ...), from the number of steps
            in an epoch.
        batch_size: Sentences a step.
        seed: With the number of the epoch, the source of all randomness of that epoch.
    """

    learning_rate: Callable[[int, int], float]
    batch_size: int
    seed: int


class Trainer:
    """A network in training: its optimizers, its place in the schedule, its best epoch.

    The state after an epoch is a function of the state before it, the recipe and the epoch's number
    alone, so a training that is stored and gone on with gives the same numbers to the last bit
    (same machine, device type, thread count and torch version).

    Args:
        network: On the device of the splits.
        train: The training split; no sentence of it holds padding.
        dev: The split on which the best epoch is chosen.
        recipe: How to train.
        train_rows: Training words are rows before this one of the table; other rows never change
            and are not copied.
        on_epoch: Called with each epoch's row.
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
        self.optimizers = Optimizers(network, train_rows)

    @property
    def device(self) -> torch.device:
        """Where the network and the splits are."""
        return self.train_split.tokens.device

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return -(-len(self.train_split) // self.recipe.batch_size)

    def train(self, stage: str, until: int) -> None:
        """Train from the present epoch through epoch `until`, keeping the best on dev.

        Raises:
            Diverged: The loss of a step was infinite or not a number.
        """
        while self.epoch < until:
            began = time.perf_counter()
            self.epoch += 1
            loss, rate = self._train_epoch()
            score = accuracy(predict(self.network, self.dev_split), self.dev_split.labels)
            self.best.offer(score, self.trained_tensors())
            seconds = time.perf_counter() - began
            self.rows.append(EpochRow(stage, self.epoch, self.step, rate, loss, score, seconds))
            self.on_epoch(self.rows[-1])

    def _train_epoch(self) -> tuple[float, float]:
        """Train one epoch; its mean loss, and the learning rate of its last step."""
        self.network.train()
        # One seed per epoch, so that an epoch does not depend on how many were run before it in
        # this process; spread out, because neighbouring seeds are neighbouring runs' epochs too.
        seed = (self.recipe.seed * 1_000_003 + self.epoch) % 2**63
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        steps = self.steps_per_epoch
        losses = torch.empty(steps, device=self.device)
        rates = [self.recipe.learning_rate(self.step + i, steps) for i in range(steps)]
        batches = training_batches(self.train_split, self.recipe.batch_size, order)
        with padding_unsought(self.network):
            for i, batch in enumerate(batches):
                losses[i] = self._step(batch, rates[i])
        # The only look at the losses: one a step would make the host wait for the device.
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            first = int(torch.argmin(finite.int()))
            raise Diverged(
                f"the loss was {losses[first].item()} at step {self.step + first} (epoch "
                f"{self.epoch}, learning rate {rates[first]:.3g}): lower schedule.upper"
            )
        self.step += steps
        return float(losses.mean()), rates[-1]

    def _step(self, batch: Batch, rate: float) -> Tensor:
        """One step; its loss, a scalar on the device, which the host does not wait for."""
        loss = F.cross_entropy(self.network(batch), batch.labels)
        self.network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers.step(rate)
        return loss.detach()

    def replace_embedding(self, compress: Callable[[Tensor], nn.Module]) -> None:
        """Put what `compress` makes of the table in the place of the embedding, between two epochs.

        Parameters of the new embedding start with a fresh optimizer state; every other parameter
        and its optimizer state stay as they are, to the last bit. The best epoch is forgotten: only
        epochs of the network as it is from now on are candidates.
        """
        others = {
            name: state
            for name, state in self.optimizers.state().items()
            if not name.startswith("embedding.")
        }
        # The table's moments and its best epoch, three tables more, make room for what comes.
        self.best = BestEpoch()
        del self.optimizers
        table = next(self.network.embedding.parameters()).detach()
        self.network.embedding = compress(table).to(self.device)
        self.optimizers = Optimizers(self.network, self.train_rows)
        self.optimizers.load_state(others)

    def restore_best(self) -> None:
        """Give the network the parameters of its best epoch."""
        self.best.restore(self.trained_tensors())

    def trained_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of all that training can change; of a table, the rows it can touch."""
        for name, tensor in self.network.state_dict().items():
            is_table = name in self.optimizers.tables
            yield name, tensor[: self.train_rows] if is_table else tensor
