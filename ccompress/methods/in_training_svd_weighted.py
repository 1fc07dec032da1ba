"""The paper's method, its decomposition weighted by how often each word occurs."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.methods.in_training_svd import InTrainingSVD


@dataclass(kw_only=True)
class InTrainingSVDWeighted(InTrainingSVD):
    """`in_training_svd`, the error of a frequent word counting more at the step.

    Minimised at the step: sum_i w_i ||E_i - A_i B||^2 over all factors of rank k, where
    w_i = sqrt(c_i + 1) for a word that occurs c_i times in training. Words that only the vectors
    have, and `<pad>`, so weigh 1: they decide little, but are represented as well as the kept
    directions allow. Closed form: B from the leading eigenvectors of E^T diag(w) E, A = E B^T, then
    balanced (`ccompress.numerics.svd.factorize`); source: ours, after the paper's step.

    Bytes: as `in_training_svd`, 4 k (V + d) of 4 V d; so is all that follows the step. It wins at
    high rates on tables of mostly rare words, since the few directions left are those that the
    text uses; at low rates it keeps the same directions and gains nothing.
    """

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The two factors of the table as it stands."""
        rows, dim = table.shape
        weights = (counts.double() + 1).sqrt()
        rank = self.rank(rows, dim, rate)
        return LowRankEmbedding.from_table(table, rank, PAD, sparse=True, weights=weights)
