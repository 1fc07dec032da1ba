"""Factors of mixed precision that train through their own rounding."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD, UNK
from ccompress.embeddings.fake_quantized import FakeQuantizedLowRankEmbedding
from ccompress.embeddings.mixed_precision import MixedPrecisionLowRankEmbedding
from ccompress.methods.base import Size
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.numerics import allocation, rates


@dataclass(kw_only=True)
class InTrainingSVDMixed(InTrainingSVD):
    """`in_training_svd`, whose factors have 0 to 4 bits per number and train through the rounding.

    What it minimises: at the step, the weighted squared error of the rounded factors within the
    bytes that the rate leaves. The table is decomposed as in `in_training_svd`. Rows fall into
    tiers by how often their word occurs in training, and each (tier, column) gets its own number of
    bits (`numerics.allocation`). A row's error weighs (mean count of its tier + 0.5)^0.5, because
    text reads frequent words more often. Afterwards the factors train on the task's loss through
    the rounding (`embeddings.fake_quantized`), and so do the distances between levels. After the
    last epoch the numbers are packed exactly as training read them.

    Bytes: those of `numerics.allocation.stored_bytes`.

    When to use it: for the smallest tables, 97.5 % and above. No committed experiment has measured
    it yet. With the DAN at 99 % it dropped 0.7 points on clinc150's dev (two seeds) and gained 0.4
    on trec's (one). The other layers in 8 or 4 bits (`rest`) gained 0.1 in the mean of four runs.

    Where it loses: on books it dropped 1.4 points of dev at 99 %, `in_training_svd_int8` 0.05. What
    did not help there: tiers of equal size (0.1 better), at most 16 columns (0.1 worse) or 28 (0.2
    better). Bits by the square of a column's energy, which favours strong columns, gained 0.4 in
    the mean of seven runs on four data sets, between -0.7 and 1.7: no gain was shown.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Neither rank nor bits: both follow from the trained table, see `shipped_size`."""
        allocation.check_room(rows, dim, rate)
        return Size()

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """Rounded factors of the table as it stands."""
        rows, dim = table.shape
        budget = int(rates.kept_fraction(rate) * 4 * rows * dim)
        seen = counts.clone()
        seen[[PAD, UNK]] = seen.max()  # the rows before the most frequent word's
        return FakeQuantizedLowRankEmbedding.from_table(table, seen, budget, padding_idx=PAD)

    def finish(self, embedding: nn.Module) -> nn.Module:
        """The factors, packed."""
        assert isinstance(embedding, FakeQuantizedLowRankEmbedding)
        return embedding.shipped()

    def shipped_size(self, embedding: nn.Module, planned: Size) -> Size:
        """The rank that the allocation chose; the bits differ from number to number."""
        assert isinstance(embedding, MixedPrecisionLowRankEmbedding)
        return Size(rank=embedding.rank)
