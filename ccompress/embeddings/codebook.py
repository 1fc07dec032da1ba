"""An embedding of b bits per number that stores its reference values, a codebook."""

import torch
from torch import Tensor

from ccompress.embeddings.packed import PackedEmbedding
from ccompress.numerics import codebooks
from ccompress.numerics.packing import pack
from ccompress.numerics.rates import LARGEST_CODEBOOK


class CodebookEmbedding(PackedEmbedding):
    """A frozen embedding of b bits per number, with 2^b reference values placed to fit the numbers.

    It stays packed in memory and is unpacked row by row when read. Its tensors are the buffers
    `packed`, uint8 of shape (V, ceil(d b / 8)), and `codebook`, of shape (2^b,). `from_table`
    quantizes a table. A new one is all zeros, ready for `load_state_dict`.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        bits: b, 1 to 16.
        padding_idx: a row that reads as exact zeros.
        device: where the buffers lie.
        dtype: type of the vectors.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if bits or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.

    Example:
        >>> import torch
        >>> from ccompress.embeddings import CodebookEmbedding
        >>> table = torch.tensor([[0.0, 9.0], [0.5, 1.5], [1.0, 10.0]])
        >>> CodebookEmbedding.from_table(table, bits=1)(torch.tensor([0, 1]))
        tensor([[0.7500, 9.5000],
                [0.7500, 0.7500]])
    """

    most_bits = LARGEST_CODEBOOK
    codebook: Tensor

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
        self.register_buffer("codebook", torch.zeros(2**bits, device=device, dtype=dtype))

    @classmethod
    def from_table(
        cls, table: Tensor, bits: int, padding_idx: int | None = None
    ) -> "CodebookEmbedding":
        """Round a (V, d) table to 2^b values that fit it best; keeps its dtype and device.

        Raises:
            InputError: if bits or padding_idx is out of range, the table is empty or holds NaN.
        """
        rows, dim = table.shape
        embedding = cls(rows, dim, bits, padding_idx, device="meta")
        embedding.codebook = codebooks.lloyd_max(table, bits)
        embedding.packed = pack(codebooks.nearest(table, embedding.codebook), bits)
        return embedding

    def values(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """The values of the codebook at these indices."""
        return self.codebook[numbers.long()]  # ONNX gathers by int64 only
