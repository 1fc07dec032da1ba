"""The paper's method: factor the table during training, then train both factors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.errors import InputError
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates

SCHEDULES = ("continues", "restarts")


@dataclass(kw_only=True)
class InTrainingSVD(Method):
    """Acharya et al. 2019: E (V x d) becomes A (V x k) and B (k x d), two linear layers.

    What it minimises: at the step, the Frobenius norm of E - A B over all matrices of rank k. The
    truncated SVD solves this (Eckart and Young 1936). The singular values are shared evenly:
    A = U_k sqrt(S_k), B = sqrt(S_k) V_k^T. Afterwards both factors train on the task's own loss.

    The step carries over every other parameter with its optimizer state, and the schedule counts
    on. A and B start with a fresh optimizer state.

    Bytes: 4 k (V + d) of 4 V d.

    When to use it: when k is small, because training repairs what the truncation lost. At low rates
    there is nothing to repair, and quantization is as good without training.

    Args:
        compress_at: Share of the epochs before the step. The step comes after the first
            round(compress_at * epochs) epochs, at least 1 and at most all but one.
        schedule: `continues` lets the learning rate go on after the step as it would have without
            it. `restarts` begins the schedule again at the step, as the source does. Where a cycle
            of it begins at the step anyway depends on the number of epochs.
    """

    later_options: ClassVar[Mapping[str, Any]] = {"schedule": "continues"}

    compress_at: float = 0.5
    schedule: str = "continues"

    def __post_init__(self) -> None:
        if not 0 < self.compress_at < 1:
            raise InputError(
                f"method.compress_at is a share of the epochs, above 0 and below 1, "
                f"not {self.compress_at}"
            )

        if self.schedule not in SCHEDULES:
            raise InputError(
                f"method.schedule={self.schedule}: it is one of {', '.join(SCHEDULES)}"
            )

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Rank k = floor((1 - p) V d / (V + d)), so that k (V + d) <= (1 - p) V d."""
        return Size(rank=self.rank(rows, dim, rate))

    def rank(self, rows: int, dim: int, rate: float) -> int:
        """The rank of the factors of a table of rows x dim; see `size`."""
        return rates.rank_of_factors(rows, dim, rate)

    def reference_epochs(self, epochs: int) -> int:
        """The epochs before the decomposition."""
        if epochs < 2:
            raise InputError(
                f"train.epochs={epochs} leaves nothing to train after the compression: "
                f"in_training_svd needs at least 2"
            )
        return min(max(round(self.compress_at * epochs), 1), epochs - 1)

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The two factors of the table as it stands."""
        rows, dim = table.shape
        rank = self.rank(rows, dim, rate)
        return LowRankEmbedding.from_table(table, rank, padding_idx=PAD, sparse=True)

    def learning_rate_at(
        self, schedule: Callable[[int, int], float], step: int, since: int, steps_per_epoch: int
    ) -> float:
        """See `Method`; counted from the step where the schedule restarts there."""
        return schedule(since if self.schedule == "restarts" else step, steps_per_epoch)
