"""Product quantization of the trained table."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class ProductQuantization(Method):
    """Every vector of the trained table cut into n parts, each one of 256 centroids; no retraining.

    Minimised: the squared error, for each part over the places of its 256 centroids, by k-means
    (Jegou, Douze and Schmid 2011, section II.B; for embeddings fastText, Joulin et al. 2016). The
    parts are the d columns cut as evenly as they can be; n is the largest that fits, so that they
    are as short as the rate allows.

    Bytes: n a word, and 1024 d for the centroids. It wins against the other two kinds of
    quantization below 2 bits a number, since a code covers several correlated numbers, and goes
    below 1 bit, where they end. The centroids are what limits it: a table of few words has no rate
    left for them (below 256 rows none at all), and no code is shared between parts.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Neither rank nor bits: n codes of 8 bits a word, 8 n / d bits a number."""
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
