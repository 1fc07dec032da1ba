"""The contract between a run and a compression method."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.data.batches import Batch
from ccompress.data.text.vocabulary import PAD


@dataclass(frozen=True)
class Size:
    """What a rate leaves of a table: a rank, a number of bits, both, or neither."""

    rank: int | None = None
    bits: int | None = None


@dataclass(kw_only=True)
class Method(ABC):
    """A way to make the embedding table smaller; its dataclass fields are the options of its YAML.

    A run calls `prepare` and trains the network over that embedding for `reference_epochs` epochs.
    It then calls `compress`, puts the result in the embedding's place, and trains for the remaining
    epochs with the method's `loss` and `learning_rate_at`. The best of these epochs is chosen
    on dev with the embedding that `evaluated` returns. Finally it calls `finish`, and tests and
    ships what that returns. All but `size`, `reference_epochs` and `compress` have defaults.
    """

    # False for a method that removes nothing: then one run serves all rates.
    uses_rate: ClassVar[bool] = True
    # Options that came after results were committed, each with the value that those results had. A
    # run's identity leaves an option out at that value, so that committed runs keep their ids.
    later_options: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep methods working that define `stages`, the former name of `reference_epochs`."""
        super().__init_subclass__(**options)
        if "reference_epochs" in vars(cls):
            cls.stages = cls.reference_epochs  # type: ignore[attr-defined]
        elif "stages" in vars(cls):
            cls.reference_epochs = cls.stages  # type: ignore[attr-defined,method-assign]

    @abstractmethod
    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Rank or bits that `rate` leaves of a table of rows x dim.

        Raises:
            InputError: The rate leaves nothing, or nothing smaller; the message names the largest
                rate that works.
        """

    def size_for(self, counts: Tensor, dim: int, rate: float) -> Size:
        """As `size`, for a method whose size depends on how often words occur.

        A run calls this one, before it trains. `counts` (V,) are those of `compress`.
        """
        return self.size(len(counts), dim, rate)

    @abstractmethod
    def reference_epochs(self, epochs: int) -> int:
        """How many of the `epochs` train the uncompressed network, before `compress`.

        The number does not depend on the rate. These are the first epochs of the reference training
        (`none`), so runs share them, unless the method overrides `prepare`. With 0, `prepare`
        already compresses and `compress` is never called.
        """

    def shared_epochs(self, epochs: int) -> int:
        """How many of the `epochs` equal the reference to the last bit, so that runs share them."""
        begins_as_reference = type(self).prepare is Method.prepare
        return self.reference_epochs(epochs) if begins_as_reference else 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """The embedding that training starts with: the whole table (V, d), trainable."""
        rows, dim = table.shape
        return nn.Embedding(rows, dim, padding_idx=PAD, sparse=True, _weight=table)

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The embedding that takes the place of the trained `table` (V, d).

        It maps word ids to vectors of the same d columns. A run calls it only where
        `reference_epochs` is above 0. `counts` (V,) says how often each row's word occurs in the
        training split; with a vocabulary larger than that of the training text, many are 0.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step after training begins")

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """The loss of a training step after `compress`, a scalar; by default the cross-entropy.

        Args:
            scores: Before the softmax (sentences, classes).
            batch: The sentences, with their labels and their places in the training split.
        """
        return F.cross_entropy(scores, batch.labels)

    def learning_rate_at(
        self, schedule: Callable[[int, int], float], step: int, since: int, steps_per_epoch: int
    ) -> float:
        """The learning rate of a step after `compress`; by default the schedule goes on.

        Args:
            schedule: The learning rate at a step, from the number of steps in an epoch.
            step: Counted from 0 over the whole training.
            since: Counted from 0 at `compress`.
            steps_per_epoch: Steps that one epoch takes.
        """
        return schedule(step, steps_per_epoch)

    def evaluated(self, embedding: nn.Module) -> nn.Module:
        """The embedding that dev reads after each epoch that follows `compress`.

        The best epoch is chosen with it. By default it is the one that trains; where `finish` costs
        accuracy, give what `finish` returns.
        """
        return embedding

    def finish(self, embedding: nn.Module) -> nn.Module:
        """The embedding that is tested and shipped, from the one that training ends with.

        It leaves the given one as it is.
        """
        return embedding

    def shipped_size(self, embedding: nn.Module, planned: Size) -> Size:
        """Rank and bits of the embedding that is shipped, for the row of results.

        Override it where they depend on the trained table and `size` cannot know them.
        """
        return planned
