"""Quantization of the trained table with a scale for each row, as embedding tables are deployed."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.row_quantized import RowQuantizedEmbedding
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class RowQuantization(Method):
    """The trained table rounded to 2^b evenly spaced values, over a clipped range for each row.

    What it minimises: the squared error of each row over the ranges that are tried (Guan et al.
    2019, arXiv 1911.02079). It is the quantization that the source's users would deploy; the
    source's own baseline, `quantization`, has one range for the whole table.

    Bytes: V (ceil(d b / 8) + 4) + 4: b bits a number, and two float16 for each row.

    When to use it: as `quantization`, which it replaces at 3 and 4 bits.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """The largest b, 1 to 8, whose bytes fit."""
        return Size(bits=rates.row_quantized_bits(rows, dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: the reference network is trained to its end."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The packed table."""
        rows, dim = table.shape
        bits = rates.row_quantized_bits(rows, dim, rate)
        return RowQuantizedEmbedding.from_table(table, bits, padding_idx=PAD)
