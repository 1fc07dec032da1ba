"""The paper's two ideas together: factors that train on, and are rounded to 8 bits at the end."""

from dataclasses import dataclass

from torch import nn

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.methods.base import Size
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.numerics import rates


@dataclass(kw_only=True)
class InTrainingSVDInt8(InTrainingSVD):
    """`in_training_svd`, whose factors are stored in one byte a number.

    Minimised at the step: as there, ||E - A B|| at rank k; then the task's loss, in float32. After
    the last epoch nothing more is: each number moves to the nearest of 256 evenly spaced values,
    once every column of A and row of B is scaled to use their whole range (Acharya et al. 2019 have
    both parts, the factors and the quantization of their baseline, not together).

    Bytes: k (V + d + 4) + 16 of 4 V d, scales included, so that a rate leaves four times the rank:
    0.975 the one that `in_training_svd` has at 0.9. It wins wherever that rank is what is missing,
    at 0.95 and above; at low rates the rank is full (k = d, a quarter of the bytes) and the factors
    are nothing but an 8-bit table that takes longer to train.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """The largest rank k, at most d, whose bytes fit; 8 bits."""
        return Size(rank=self.rank(rows, dim, rate), bits=8)

    def rank(self, rows: int, dim: int, rate: float) -> int:
        """See `ccompress.numerics.rates.rank_of_byte_factors`."""
        return rates.rank_of_byte_factors(rows, dim, rate)

    def finish(self, embedding: nn.Module) -> nn.Module:
        """The trained factors, rounded."""
        assert isinstance(embedding, LowRankEmbedding)
        return QuantizedLowRankEmbedding.from_factors(embedding)
