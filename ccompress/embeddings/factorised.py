"""Embeddings whose table is the product of two factors."""

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.base import CompressedEmbedding, in_range


class FactorisedEmbedding(CompressedEmbedding):
    """An embedding that reads row i as A[i] B, of factors A (V, k) and B (k, d).

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        rank: k, 1 to d.
        padding_idx: a row that reads as zeros.

    Raises:
        InputError: if the rank or padding_idx is out of range.
    """

    size_name = "rank"

    def __init__(
        self, num_embeddings: int, embedding_dim: int, rank: int, padding_idx: int | None
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.rank = in_range("rank", rank, embedding_dim)

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        with without_autocast(indices.device):
            rows, B = self.read_factors(indices)
            return rows @ B

    def scores(self, states: Tensor) -> Tensor:
        """See `CompressedEmbedding`; the product goes through B first."""
        read = [self.read_factors(rows) for rows in self.blocks(states.device)]
        narrow = F.linear(states, read[0][1])  # (..., k)
        return torch.cat([F.linear(narrow, rows) for rows, _ in read], -1)

    def read_factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of A, of shape (..., k), and B, for a reader that can leave out the product."""
        A, B = self.factors()
        return A(indices), B

    @abstractmethod
    def factors(self) -> tuple[nn.Module, Tensor]:
        """An embedding that reads rows of A, of k columns, and B (k, d).

        Both share memory with this embedding, and are frozen where its tensors are.
        """


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Where autocast would multiply in half precision: nn.Embedding reads its table as it is."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
