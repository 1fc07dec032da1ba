"""A method: frequent words keep their vectors, all others share one."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


class SharedRows(nn.Module):
    """Keeps the first rows of a table; all later ids read the last of these rows.

    An embedding maps ids (n,) to vectors (n, d), and id 0, the padding, to zeros. It can be stored
    and built again if its constructor takes plain values and keeps them under their names.
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
    """After the training, the rows of the least frequent words are replaced by their mean.

    It minimises nothing; the rows of a table are in the order of the words' frequency. It keeps
    4 r d of 4 V d bytes. It suits tasks in which rare words do not matter.

    Args:
        weighted: Whether the mean is weighted by the words' frequencies.
    """

    weighted: bool = False

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """No rank and no bits; a rate that leaves fewer than three rows is refused."""
        if self._kept(rows, rate) < 3:
            raise rates.no_room(rate, f"no word of {rows}", 1 - rates.kept_fraction(0) * 3 / rows)
        return Size()

    def reference_epochs(self, epochs: int) -> int:
        """All epochs, because the table is trained before `compress` and not afterwards."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The frequent rows, followed by the mean of the others."""
        rows, dim = table.shape
        embedding = SharedRows(self._kept(rows, rate), dim)
        first = embedding.rows - 1  # the first of the rows that become one
        weights = counts[first:] + 1.0 if self.weighted else torch.ones(rows - first)
        mean = weights.to(table) @ table[first:] / weights.sum()
        embedding.table = torch.cat([table[:first], mean.unsqueeze(0)])
        return embedding

    def _kept(self, rows: int, rate: float) -> int:
        return int(rates.kept_fraction(rate) * rows)
