"""An embedding of b bits per number, its reference values spaced evenly."""

import torch
from torch import Tensor

from ccompress.embeddings.packed import PackedEmbedding
from ccompress.numerics.packing import dequantize, pack, quantize


class QuantizedEmbedding(PackedEmbedding):
    """A frozen embedding of b bits per number, whose 2^b reference values are spaced evenly.

    It stays packed in memory and is unpacked row by row when read. Its tensors are the buffers
    `packed`, uint8 of shape (V, ceil(d b / 8)), and the scalars `lower` and `upper`, between which
    the reference values lie: see `ccompress.numerics.packing`. `from_table` quantizes a table. A
    new one is all zeros, ready for `load_state_dict` of an embedding with as many bits.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        bits: b, 1 to 32.
        padding_idx: a row that reads as exact zeros.
        device: where the buffers lie.
        dtype: type of the vectors.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if bits or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.

    Example:
        >>> import torch, ccompress
        >>> table = torch.tensor([[0.0, 0.0], [-1.0, 0.5], [0.2, 1.0]])
        >>> embedding = ccompress.QuantizedEmbedding.from_table(table, bits=2, padding_idx=0)
        >>> embedding(torch.tensor([2, 0]))  # of the values -1, -1/3, 1/3 and 1
        tensor([[0.3333, 1.0000],
                [0.0000, 0.0000]])
        >>> embedding.packed.shape
        torch.Size([3, 1])
    """

    most_bits = 32
    lower: Tensor
    upper: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        bits: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, bits, padding_idx, device)
        self.register_buffer("lower", torch.zeros((), device=device, dtype=dtype))
        self.register_buffer("upper", torch.zeros((), device=device, dtype=dtype))

    @classmethod
    def from_table(
        cls, table: Tensor, bits: int, padding_idx: int | None = None
    ) -> "QuantizedEmbedding":
        """Round a (V, d) table to 2^b reference values; keeps its dtype and device.

        Raises:
            InputError: if bits or padding_idx is out of range, the table is empty or holds NaN.
        """
        rows, dim = table.shape
        embedding = cls(rows, dim, bits, padding_idx, device="meta")
        indices, embedding.lower, embedding.upper = quantize(table, bits)
        embedding.packed = pack(indices, bits)
        return embedding

    def values(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """Evenly spaced values, the first at `lower`, the last at `upper`."""
        return dequantize(numbers, self.lower, self.upper, self.bits)
