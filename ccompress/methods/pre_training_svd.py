"""The earlier method: reduce the pretrained vectors before training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ccompress.errors import InputError
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates, svd

RANKS = ("projection", "factors")


@dataclass(kw_only=True)
class PreTrainingSVD(Method):
    """Truncated SVD of the pretrained vectors; the network reads k-dimensional embeddings.

    What it minimises: the Frobenius norm of E - U_k S_k V_k^T for the vectors E as they were
    downloaded. So the task has no say in what is kept. The network's table is U_k S_k (V x k) with
    k = floor((1 - p) d); the first layer learns what V_k^T did. It trains for the whole budget.

    Bytes: 4 k V of 4 V d.

    When to use it: when training time matters, or with a learning rate of its own, four to eight
    times the reference's, at which it is as good as `in_training_svd` on average up to 95 %
    (`results/own_rates`). It loses where the task needs directions in which the vectors vary
    little.

    Args:
        rank: `projection` takes the k above, the largest that the rate leaves. `factors` takes the
            smaller k of `in_training_svd`, to compare the two at one rank.
        singular_values: Whether the table is U_k S_k. False gives U_k alone, whose columns all have
            length 1, as the code that the paper's authors released has it.
    """

    later_options: ClassVar[Mapping[str, Any]] = {"rank": "projection", "singular_values": True}

    rank: str = "projection"
    singular_values: bool = True

    def __post_init__(self) -> None:
        if self.rank not in RANKS:
            raise InputError(f"method.rank={self.rank}: it is one of {', '.join(RANKS)}")

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Rank k = floor((1 - p) d), or that of `in_training_svd`."""
        if self.rank == "factors":
            return Size(rank=rates.rank_of_factors(rows, dim, rate))
        return Size(rank=rates.rank_of_projection(dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """None: training begins with the reduced table."""
        return 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """A table of k columns, U_k S_k or U_k."""
        rows, dim = table.shape
        rank = self.size(rows, dim, rate).rank
        assert rank is not None
        return super().prepare(svd.project(table, rank, self.singular_values), rate)
