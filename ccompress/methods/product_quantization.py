"""Product quantization of the trained table."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class ProductQuantization(Method):
    """Each vector of the trained table cut into n parts, each part one of 256 centroids.

    What it minimises: for each part, the squared error over its 256 centroids, by k-means (Jegou,
    Douze and Schmid 2011, section II.B; for embeddings fastText, Joulin et al. 2016). The d columns
    are cut into parts as evenly as possible. n is the largest number of parts that fits.

    Bytes: n a word, and 1024 d for the centroids. Nothing is retrained.

    When to use it: below 2 bits per number, where it beats the other two kinds of quantization
    because one code covers several correlated numbers. It also works below 1 bit, where they end.
    The centroids limit it: in a table of few words they take the whole budget, and below 256 rows
    it does not work at all.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Neither rank nor bits: n codes of 8 bits per word, 8 n / d bits per number."""
        rates.subvectors(rows, dim, rate)
        return Size()

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: the reference network is trained to its end."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The codes and the centroids."""
        rows, dim = table.shape
        parts = rates.subvectors(rows, dim, rate)
        return ProductQuantizedEmbedding.from_table(table, parts, padding_idx=PAD)
