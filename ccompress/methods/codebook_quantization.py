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

    What it minimises: the squared error of rounding, over where the 2^b values lie (Lloyd 1982, Max
    1960; k-means in one dimension). `quantization` instead spaces its values evenly between the
    smallest and the largest number of the table.

    Bytes: b bits per number, with rows padded to whole bytes, and 4 2^b bytes for the values. b is
    the largest that fits. At a rate like 0.75, where even quantization has exactly 8 bits, b is 7.

    When to use it: at 2 to 4 bits, where even spacing wastes values on the table's few large
    numbers. From 7 bits on both are as good as float32. At 1 bit little more than the signs is
    left, and the smaller error does not give a higher accuracy. It cannot remove more than 31/32.
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
