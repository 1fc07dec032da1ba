"""An embedding of b bits a number, with evenly spaced reference values of its own for each row."""

import torch
from torch import Tensor

from ccompress.embeddings.packed import PackedEmbedding
from ccompress.numerics.packing import pack
from ccompress.numerics.row_scales import dequantize_rows, quantize_rows


class RowQuantizedEmbedding(PackedEmbedding):
    """A frozen embedding of b bits a number, where each row has its own scale.

    It stays packed in memory and is unpacked row by row when read. Its tensors are the buffers
    `packed`, uint8 of shape (V, ceil(d b / 8)), `lower` and `step`, float16 of shape (V,), and the
    scalar `largest`: see `ccompress.numerics.row_scales`. `from_table` quantizes a table. A new one
    is all zeros, ready for `load_state_dict` of an embedding with as many bits.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        bits: b, 1 to 8.
        padding_idx: a row that reads as exact zeros.
        device: where the buffers lie.
        dtype: type of the vectors.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if bits or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.
    """

    most_bits = 8
    row_tensors = ("packed", "lower", "step")
    lower: Tensor
    step: Tensor
    largest: Tensor

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
        for name in ("lower", "step"):
            scale = torch.zeros(num_embeddings, dtype=torch.float16, device=device)
            self.register_buffer(name, scale)
        self.register_buffer("largest", torch.zeros((), device=device, dtype=dtype))

    @classmethod
    def from_table(
        cls, table: Tensor, bits: int, padding_idx: int | None = None
    ) -> "RowQuantizedEmbedding":
        """Round each row of a (V, d) table to 2^b reference values; keeps its dtype and device.

        Raises:
            InputError: if bits or padding_idx is out of range, the table is empty or holds NaN.
        """
        rows, dim = table.shape
        embedding = cls(rows, dim, bits, padding_idx, device="meta")
        indices, embedding.lower, embedding.step, embedding.largest = quantize_rows(table, bits)
        embedding.packed = pack(indices, bits)
        return embedding

    def values(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """Evenly spaced values, from `lower` by `step` of each row, in units of `largest`."""
        return dequantize_rows(numbers, self.lower[rows], self.step[rows], self.largest)
