"""One training loop. It knows neither methods nor networks by name."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.data.batches import Encoded, training_batches
from ccompress.networks.base import Network
from ccompress.training.evaluation import accuracy, predict
from ccompress.training.optimizers import RowwiseAdam


class Diverged(RuntimeError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class EpochRow:
    """What one epoch gave; the columns of metrics.csv."""

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
        train: The training split.
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
        self._best: dict[str, Tensor] = {}
        self.best_accuracy = -1.0
        self._optimizers: list[torch.optim.Optimizer] = []
        self._make_optimizers()

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
            if score > self.best_accuracy:  # the earliest in a tie
                self.best_accuracy = score
                self._keep_best()
            seconds = time.perf_counter() - began
            self.rows.append(EpochRow(stage, self.epoch, self.step, rate, loss, score, seconds))
            self.on_epoch(self.rows[-1])

    def _keep_best(self) -> None:
        """Copy the present parameters, over an earlier epoch's where there are any."""
        for name, tensor in self._changing():
            if name in self._best:
                self._best[name].copy_(tensor)
            else:
                self._best[name] = tensor.clone()

    def _train_epoch(self) -> tuple[float, float]:
        """Train one epoch; its mean loss, and the learning rate of its last step."""
        self.network.train()
        # One seed per epoch, so that an epoch does not depend on how many were run before it in
        # this process; spread out, because neighbouring seeds are neighbouring runs' epochs too.
        seed = (self.recipe.seed * 1_000_003 + self.epoch) % 2**63
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        steps = self.steps_per_epoch
        losses = torch.empty(steps, device=self.train_split.tokens.device)
        rates = [self.recipe.learning_rate(self.step + i, steps) for i in range(steps)]
        batches = training_batches(self.train_split, self.recipe.batch_size, order)
        for i, batch in enumerate(batches):
            loss = F.cross_entropy(self.network(batch), batch.labels)
            self.network.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rates[i]
                optimizer.step()
            losses[i] = loss.detach()
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

    def replace_embedding(self, compress: Callable[[Tensor], nn.Module]) -> None:
        """Put what `compress` makes of the table in the place of the embedding, between two epochs.

        Parameters of the new embedding start with a fresh optimizer state; every other parameter
        and its optimizer state stay as they are, to the last bit. The best epoch is forgotten: only
        epochs of the network as it is from now on are candidates.
        """
        kept = {
            name: optimizer.state[parameter]
            for optimizer in self._optimizers
            for name, parameter in self.network.named_parameters()
            if parameter in optimizer.state and not name.startswith("embedding.")
        }
        # The table's moments and its best epoch, three tables more, make room for what comes.
        self._best, self.best_accuracy = {}, -1.0
        self._optimizers = []
        table = next(self.network.embedding.parameters()).detach()
        self.network.embedding = compress(table).to(self.train_split.tokens.device)
        self._make_optimizers()
        self._set_optimizer_state(kept)

    def restore_best(self) -> None:
        """Give the network the parameters of its best epoch."""
        for name, tensor in self._changing():
            tensor.copy_(self._best[name])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a later `load_state` needs to go on: tensors, and plain values."""
        tensors = {f"last.{name}": tensor for name, tensor in self._changing()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self._state_of(parameter).items():
                tensors[f"optimizer.{key}.{name}"] = value
        values = {
            "epoch": self.epoch,
            "step": self.step,
            "best_accuracy": self.best_accuracy,
            "rows": [vars(row) for row in self.rows],
        }
        return tensors, values

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take the place of the trainer, over an equal network and table, that gave this state."""
        device = self.train_split.tokens.device
        with torch.no_grad():
            for name, tensor in self._changing():
                tensor.copy_(tensors[f"last.{name}"])
        self._best = {
            name.removeprefix("best."): tensors[name].to(device)
            for name in tensors
            if name.startswith("best.")
        }
        states: dict[str, dict[str, Tensor]] = {}
        for name in tensors:
            if name.startswith("optimizer."):
                _, key, parameter = name.split(".", 2)
                states.setdefault(parameter, {})[key] = tensors[name]
        self._set_optimizer_state(states)
        self.epoch, self.step = values["epoch"], values["step"]
        self.best_accuracy = values["best_accuracy"]
        self.rows = [EpochRow(**row) for row in values["rows"]]

    def _make_optimizers(self) -> None:
        """Adam for each parameter: over touched rows for those with sparse gradients.

        There is no weight decay: it would move every row of the table at every step.
        """
        # As in nn.Embedding, `sparse` is said by the module whose first parameter is the table.
        tables = {
            next(module.parameters(recurse=False))
            for module in self.network.modules()
            if getattr(module, "sparse", False)
        }
        named = dict(self.network.named_parameters())
        self._tables = {name for name, parameter in named.items() if parameter in tables}
        dense = [p for name, p in named.items() if name not in self._tables and p.requires_grad]
        self._optimizers = [torch.optim.Adam(dense, fused=True)]
        if tables:
            ordered = (named[name] for name in sorted(self._tables))
            self._optimizers.append(RowwiseAdam(ordered, rows=self.train_rows))

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """The optimizer's state of one parameter; empty before its first step."""
        for optimizer in self._optimizers:
            if parameter in optimizer.state:
                return dict(optimizer.state[parameter])
        return {}

    def _set_optimizer_state(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Give the optimizers, which have none, the states of the named parameters."""
        device = self.train_split.tokens.device
        owner = {
            parameter: optimizer
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for name, parameter in self.network.named_parameters():
            for key, value in states.get(name, {}).items():
                owner[parameter].state[parameter][key] = value.to(device)

    def _changing(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of all that training can change, of a table only the trainable rows."""
        for name, tensor in self.network.state_dict().items():
            yield name, self._cut(name, tensor)

    def _cut(self, name: str, tensor: Tensor) -> Tensor:
        """Of a table the rows that training can touch."""
        return tensor[: self.train_rows] if name in self._tables else tensor
