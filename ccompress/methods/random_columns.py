"""A smaller table without pretrained vectors: what are the vectors worth at this size?"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class RandomColumns(Method):
    """A random table (V x k) that trains from the first step on: the vectors are not used.

    What it minimises: nothing but the task's loss. Its numbers begin with the variance of the
    vectors. A method that does not beat it at the same bytes gains nothing from the vectors.

    Bytes: as `pre_training_svd`, 4 k V of 4 V d.

    When to use it: as a line to compare with, and where there are no vectors for the language.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Columns k = floor((1 - p) d)."""
        return Size(rank=rates.rank_of_projection(dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """None: training begins with the random table."""
        return 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """A table of k random columns; `<pad>` reads as zeros."""
        columns = rates.rank_of_projection(table.shape[1], rate)
        drawn = torch.randn(len(table), columns, dtype=table.dtype) * table.std()
        drawn[PAD] = 0
        return super().prepare(drawn, rate)
