"""Even quantization of the trained table, without retraining."""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.data.text.vocabulary import PAD
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.methods.base import Method, Size
from ccompress.numerics import rates


@dataclass(kw_only=True)
class Quantization(Method):
    """The trained table rounded to 2^b evenly spaced reference values, b = floor(32 (1 - p)).

    What it minimises: nothing. Each number moves to the nearest of the reference values between the
    table's smallest and largest (the baseline of Acharya et al. 2019), so the largest number
    decides how coarse all of them are.

    Bytes: b bits per number, with rows padded to whole bytes, and the two ends of the scale.

    When to use it: down to 6 bits (80 % of the table) it costs nothing and needs no retraining.
    Below 4 bits it fails suddenly.
    """

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Bits b = floor(32 (1 - p))."""
        return Size(bits=rates.quantized_bits(rows, dim, rate))

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: the reference network is trained to its end."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The packed table."""
        rows, dim = table.shape
        bits = rates.quantized_bits(rows, dim, rate)
        return QuantizedEmbedding.from_table(table, bits, padding_idx=PAD)
