"""Two factors from the first step on: does the moment of the step help, or the second layer?"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.errors import InputError
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates

STARTS = ("pretrained", "random")


@dataclass(kw_only=True)
class FactoredStart(Method):
    """The network begins with two factors A (V x k) and B (k x d), and both train throughout.

    What it minimises: at the start, the Frobenius norm of E - A B for the pretrained vectors E, as
    `in_training_svd` does for the trained table. Against `in_training_svd` it tells what the moment
    of the step contributes, and against `pre_training_svd` what the second linear layer
    contributes. Source: Acharya et al. 2019 compare with random factors; the pretrained ones are
    ours.

    Bytes: as `in_training_svd`, 4 k (V + d) of 4 V d.

    When to use it: to explain the others.

    Args:
        start: `pretrained` factors the vectors. `random` draws factors whose products have the
            variance of the vectors.
    """

    start: str = "pretrained"

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"method.start={self.start}: it is one of {', '.join(STARTS)}")

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Rank k = floor((1 - p) V d / (V + d))."""
        return Size(rank=rates.rank_of_factors(rows, dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """None: training begins with the factors."""
        return 0

    def prepare(self, table: Tensor, rate: float) -> nn.Module:
        """The two factors that training starts with."""
        rows, dim = table.shape
        rank = rates.rank_of_factors(rows, dim, rate)
        if self.start == "pretrained":
            return LowRankEmbedding.from_table(table, rank, padding_idx=PAD, sparse=True)
        embedding = LowRankEmbedding(rows, dim, rank, padding_idx=PAD, sparse=True)
        with torch.no_grad():
            for factor in (embedding.A, embedding.B):  # their products begin with variance 1
                factor.mul_(table.std().sqrt())
        return embedding
