"""The paper's two ideas combined: trained factors, rounded to 8 bits at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.errors import InputError, nearest
from ccompress.methods.base import Size
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.numerics import rates


@dataclass(kw_only=True)
class InTrainingSVDInt8(InTrainingSVD):
    """`in_training_svd`, whose factors are stored in one byte a number.

    What it minimises: as `in_training_svd`, ||E - A B|| at rank k at the step, then the task's loss
    in float32. After the last epoch each number moves to the nearest of 256 evenly spaced values,
    with each column of A and each row of B scaled to use the whole range. Nothing trains after
    that. (Acharya et al. 2019 have both parts, but not together.)

    Bytes: k (V + d + 4) + 16 of 4 V d, scales included. So a rate leaves four times the rank: at
    0.975 it has the rank that `in_training_svd` has at 0.9.

    When to use it: at rates of 0.95 and above, where `in_training_svd` lacks rank. At low rates the
    rank is full (k = d, a quarter of the bytes), and it is an 8-bit table that takes longer to
    train.

    Args:
        best_epoch: The factors with which dev chooses the best epoch: `trained`, or `shipped`,
            which are rounded as they are when training ends.
    """

    later_options: ClassVar[Mapping[str, Any]] = {
        **InTrainingSVD.later_options,
        "best_epoch": "trained",
    }
    best_epoch: str = "trained"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_epoch not in ("trained", "shipped"):
            raise InputError(
                f"method.best_epoch={self.best_epoch}: it must be trained or shipped"
                f"{nearest(self.best_epoch, ('trained', 'shipped'))}"
            )

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """The largest rank k, at most d, whose bytes fit; 8 bits."""
        return Size(rank=self.rank(rows, dim, rate), bits=8)

    def rank(self, rows: int, dim: int, rate: float) -> int:
        """See `ccompress.numerics.rates.rank_of_byte_factors`."""
        return rates.rank_of_byte_factors(rows, dim, rate)

    def evaluated(self, embedding: nn.Module) -> nn.Module:
        """The factors that `best_epoch` says."""
        return self.finish(embedding) if self.best_epoch == "shipped" else embedding

    def finish(self, embedding: nn.Module) -> nn.Module:
        """The trained factors, rounded."""
        assert isinstance(embedding, LowRankEmbedding)
        return QuantizedLowRankEmbedding.from_factors(embedding)
