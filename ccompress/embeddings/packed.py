"""Embeddings that stay packed in memory and are unpacked row by row when read."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ccompress.embeddings.base import CompressedEmbedding, in_range, without_padding
from ccompress.numerics.packing import unpack
from ccompress.numerics.rates import bytes_per_row


class PackedEmbedding(CompressedEmbedding):
    """A frozen embedding of b bits per number that is stored packed and unpacked row by row.

    The buffer `packed`, uint8 of shape (V, ceil(d b / 8)), holds indices of reference values. A
    subclass says which values. A new one is all zeros, ready for `load_state_dict`.
    """

    size_name = "bits"
    row_tensors: ClassVar[tuple[str, ...]] = ("packed",)
    most_bits: ClassVar[int]
    packed: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        bits: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.bits = in_range("bits", bits, self.most_bits)
        width = bytes_per_row(self.bits, embedding_dim)
        packed = torch.zeros(num_embeddings, width, dtype=torch.uint8, device=device)
        self.register_buffer("packed", packed)

    @abstractmethod
    def values(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """The reference values that `numbers` (..., d), in these `rows` (...), stand for."""

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        packed = F.embedding(indices, self.packed)  # checks the indices as nn.Embedding does
        vectors = self.values(unpack(packed, self.bits, self.embedding_dim), indices)
        return without_padding(vectors, indices, self.padding_idx)
