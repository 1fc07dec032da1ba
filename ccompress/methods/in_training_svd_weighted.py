"""The paper's method with a decomposition that is weighted by word frequency."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.methods.in_training_svd import InTrainingSVD


@dataclass(kw_only=True)
class InTrainingSVDWeighted(InTrainingSVD):
    """`in_training_svd`, where the error of a frequent word counts more at the step.

    What it minimises: at the step, sum_i w_i ||E_i - A_i B||^2 over all factors of rank k, with
    w_i = sqrt(c_i + 1) for a word that occurs c_i times in training. Words that only the vectors
    have, and `<pad>`, weigh 1: they hardly decide which directions are kept, but are represented as
    well as those directions allow. Closed form: B from the leading eigenvectors of E^T diag(w) E,
    A = E B^T, then balanced (`ccompress.numerics.svd.factorize`). Source: ours, after the paper.

    Bytes: as `in_training_svd`, 4 k (V + d) of 4 V d.

    When to use it: it was made for tables of mostly rare words at high rates. Measured up to 95 %
    it made no difference that three seeds could show (`results/beyond`).
    """

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The two factors of the table as it stands."""
        rows, dim = table.shape
        weights = (counts.double() + 1).sqrt()
        rank = self.rank(rows, dim, rate)
        return LowRankEmbedding.from_table(table, rank, PAD, sparse=True, weights=weights)
