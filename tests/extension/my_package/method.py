"""A method: frequent words keep their vectors, all others share one."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


class SharedRows(nn.Module):
    """The first rows of a table as they are; every later row reads as the last of them.

    What takes the place of the table maps ids (n,) to vectors (n, d), and id 0, the padding, to
    zeros. So that it can be stored and built again, its constructor takes plain values, kept under
    their names.
    """

    table: Tensor

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.rows = rows
        self.dim = dim
        self.register_buffer("table", torch.zeros(rows, dim))

    def forward(self, words: Tensor) -> Tensor:
        """The vectors of words."""
        return F.embedding(words.clamp(max=self.rows - 1), self.table)


@dataclass(kw_only=True)
class FrequentWords(Method):
    """The trained table's rows of the least frequent words become one, a mean of theirs.

    Minimised: nothing; rows are in the order of their words' frequency. Bytes: 4 r d of 4 V d. It
    wins where rare words do not matter.

    Args:
        weighted: Whether a word counts in the mean as often as it occurs.
    """

    weighted: bool = False

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Neither rank nor bits; refuses a rate that leaves fewer rows than three."""
        if self._kept(rows, rate) < 3:
            raise rates.no_room(rate, f"no word of {rows}", 1 - rates.kept_fraction(0) * 3 / rows)
        return Size()

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: the table is fully trained before `compress`, and not afterwards."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The frequent rows, and in the last place the mean of the others."""
        rows, dim = table.shape
        embedding = SharedRows(self._kept(rows, rate), dim)
        first = embedding.rows - 1  # of the rows that are shared
        weights = counts[first:] + 1.0 if self.weighted else torch.ones(rows - first)
        mean = weights.to(table) @ table[first:] / weights.sum()
        embedding.table = torch.cat([table[:first], mean.unsqueeze(0)])
        return embedding

    def _kept(self, rows: int, rate: float) -> int:
        return int(rates.kept_fraction(rate) * rows)
