"""Embeddings whose numbers are kept packed and unpacked by row when read."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.base import padding_row, printed, without_padding
from ccompress.errors import InputError
from ccompress.numerics.packing import unpack
from ccompress.numerics.rates import bytes_per_row


class PackedEmbedding(nn.Module, ABC):
    """A frozen embedding of b bits a number, kept packed in memory and unpacked by row when read.

    Its numbers are indices of reference values, in the buffer `packed`, uint8 of shape
    (V, ceil(d b / 8)); a subclass says which values. Made afresh it is all zeros, ready for
    `load_state_dict`.
    """

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
        super().__init__()
        if not 1 <= bits <= self.most_bits:
            raise InputError(f"bits={bits}: give 1 to {self.most_bits}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.bits = bits
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        width = bytes_per_row(bits, embedding_dim)
        packed = torch.zeros(num_embeddings, width, dtype=torch.uint8, device=device)
        self.register_buffer("packed", packed)

    @abstractmethod
    def values(self, numbers: Tensor) -> Tensor:
        """The reference values of indices of any shape."""

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        packed = F.embedding(indices, self.packed)  # checks the indices as nn.Embedding does
        vectors = self.values(unpack(packed, self.bits, self.embedding_dim))
        return without_padding(vectors, indices, self.padding_idx)

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return printed(self, f"bits={self.bits}")
