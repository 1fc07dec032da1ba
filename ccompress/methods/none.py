"""The reference: nothing is compressed."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ccompress.methods.base import Method, Size


@dataclass(kw_only=True)
class NoCompression(Method):
    """Trains the uncompressed network, whatever the rate."""

    uses_rate: ClassVar[bool] = False

    def size(self, rows: int, dim: int, rate: float) -> Size:
        """Neither rank nor bits."""
        return Size()

    def reference_epochs(self, epochs: int) -> int:
        """All epochs: other methods begin with this training."""
        return epochs

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The table as it is."""
        return self.prepare(table, rate)
