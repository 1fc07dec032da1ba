"""What a method of compression is asked by a run."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD


@dataclass(frozen=True)
class Size:
    """What a rate leaves of a table: a rank, a number of bits, both, or neither."""

    rank: int | None = None
    bits: int | None = None


@dataclass(kw_only=True)
class Method(ABC):
    """A way to make the embedding table smaller; its dataclass fields are the options of its YAML.

    A run trains the network over the embedding that `prepare` makes for `reference_epochs` epochs,
    replaces the embedding by what `compress` makes of its table, and goes on training for the rest
    of the budget; what `finish` makes of the embedding is tested.
    """

    # False for a method that removes nothing: one run stands for all rates.
    uses_rate: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        """Let methods that define `stages`, the former name of `reference_epochs`, work on."""
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

    @abstractmethod
    def reference_epochs(self, epochs: int) -> int:
        """How many of the `epochs` train the uncompressed network, before `compress`.

        They do not depend on the rate. They are the first epochs of the reference training
        (`none`), so that runs share them; a method with a `prepare` of its own trains them itself.
        0: `prepare` compresses already, and there is no later step.
        """

    def shared_epochs(self, epochs: int) -> int:
        """How many of the `epochs` are the reference's, to the last bit, and so shared by runs."""
        begins_as_reference = type(self).prepare is Method.prepare
        return self.reference_epochs(epochs) if begins_as_reference else 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """The embedding that training starts with: the whole table (V, d), trainable."""
        rows, dim = table.shape
        return nn.Embedding(rows, dim, padding_idx=PAD, sparse=True, _weight=table)

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The embedding that takes the place of the trained `table` (V, d).

        It maps ids to vectors of the same d columns. Only asked for where 0 < `reference_epochs`.
        `counts` (V,) says how often each row's word occurs in the training split, 0 for many.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step after training begins")

    def finish(self, embedding: nn.Module) -> nn.Module:
        """The embedding that is tested and shipped, from the one that training ends with."""
        return embedding

    def shipped_size(self, embedding: nn.Module, planned: Size) -> Size:
        """Rank and bits of the embedding that is shipped, for the row of results.

        Override it where they depend on the trained table, so that `size` cannot tell them.
        """
        return planned
