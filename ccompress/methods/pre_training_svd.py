"""The earlier method: reduce the pretrained vectors before training."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.methods.base import Method, Size
from ccompress.numerics import rates, svd


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
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Rank k = floor((1 - p) d)."""
        return Size(rank=rates.rank_of_projection(dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """None: training begins with the reduced table."""
        return 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """A table of k columns, U_k S_k."""
        rank = rates.rank_of_projection(table.shape[1], rate)
        return super().prepare(svd.project(table, rank), rate)
