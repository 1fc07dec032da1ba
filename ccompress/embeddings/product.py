"""An embedding whose rows are the numbers of centroids (product quantization)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ccompress.embeddings.base import CompressedEmbedding, in_range, without_padding
from ccompress.numerics import codebooks
from ccompress.numerics.rates import CENTROIDS


class ProductQuantizedEmbedding(CompressedEmbedding):
    """A frozen embedding of n bytes a row: each byte names the centroid of one part of the vector.

    Its tensors are the buffers `codes`, uint8 of shape (V, n), and `centroids`, of shape (256, d):
    see `numerics.codebooks.product`. `from_table` quantizes a table. A new one is all zeros, ready
    for `load_state_dict`.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        parts: n, the number of sub-vectors, 1 to d.
        padding_idx: a row that reads as exact zeros.
        device: where the buffers lie.
        dtype: type of the vectors.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if parts or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.

    Example:
        >>> import torch
        >>> from ccompress.embeddings import ProductQuantizedEmbedding
        >>> embedding = ProductQuantizedEmbedding.from_table(torch.randn(1000, 64), parts=8)
        >>> embedding.codes.shape, embedding.centroids.shape
        (torch.Size([1000, 8]), torch.Size([256, 64]))
    """

    size_name = "parts"
    row_tensors = ("codes",)
    codes: Tensor
    centroids: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        parts: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.parts = in_range("parts", parts, embedding_dim)
        codes = torch.zeros(num_embeddings, parts, dtype=torch.uint8, device=device)
        self.register_buffer("codes", codes)
        centroids = torch.zeros(CENTROIDS, embedding_dim, device=device, dtype=dtype)
        self.register_buffer("centroids", centroids)

    @classmethod
    def from_table(
        cls, table: Tensor, parts: int, padding_idx: int | None = None
    ) -> "ProductQuantizedEmbedding":
        """Quantize a (V, d) table of 256 rows or more; keeps its dtype and device.

        Raises:
            InputError: if parts or padding_idx is out of range, or the table has too few rows or
                holds NaN.
        """
        rows, dim = table.shape
        embedding = cls(rows, dim, parts, padding_idx, device="meta")
        embedding.codes, embedding.centroids = codebooks.product(table, parts)
        return embedding

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        codes = F.embedding(indices, self.codes)  # checks the indices as nn.Embedding does
        columns = torch.arange(self.embedding_dim, device=codes.device)
        owner = codebooks.owners(self.embedding_dim, self.parts, codes.device)
        vectors = self.centroids[codes[..., owner].long(), columns]
        return without_padding(vectors, indices, self.padding_idx)
