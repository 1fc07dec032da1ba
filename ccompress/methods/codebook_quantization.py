"""Quantization of the trained table to values placed where its numbers are."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class CodebookQuantization(Method):
    """The trained table rounded to 2^b reference values of its own, without retraining.

    Minimised: the squared error of rounding, over the places of the 2^b values (Lloyd 1982, Max
    1960; k-means in one dimension). `quantization` spaces its values evenly between the smallest
    and the largest number, so this is rounding "to a limited number of reference values" at its
    best.

    Bytes: b bits a number, rows filled up to whole bytes, and 4 2^b for the values; b is the
    largest that fits, so at rates like 0.75, where even quantization has just 8 bits, it has 7. The
    error is always the smaller at equal bits, and tells below 5, where evenly spaced values are
    wasted on the table's few large numbers; at 7 and more both are as good as float32. At 1 bit
    little but signs is left, and a smaller error need not mean a higher accuracy. There it ends: it
    never removes more than 31/32.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """The largest b, 1 to 16, whose bytes fit."""
        return Size(bits=rates.codebook_bits(rows, dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: the reference network is trained to its end."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The packed table and its codebook."""
        rows, dim = table.shape
        bits = rates.codebook_bits(rows, dim, rate)
        return CodebookEmbedding.from_table(table, bits, padding_idx=PAD)
