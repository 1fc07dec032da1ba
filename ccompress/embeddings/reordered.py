"""An embedding over another one whose rows stand in another order."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ccompress.embeddings.base import CompressedEmbedding, lay_out_again
from ccompress.embeddings.factorised import FactorisedEmbedding


class ReorderedEmbedding(CompressedEmbedding):
    """Reads row i of a table from an embedding in which the rows of each tier stand together.

    Embeddings of mixed precision want the rows of a tier in one run, which the vocabulary of a
    tokenizer does not have. The buffer `tiers`, uint8 of shape (ceil(V / 2),), holds the tier of
    each row in half a byte. Rows stand in the order of their tiers and, within a tier, of their
    numbers; so the order need not be stored.

    Args:
        inner: The embedding of reordered rows.
        padding_idx: The row that `inner` reads as exact zeros, by its number in the table.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        IndexError: when called (on a CPU) with an index that is out of range.
    """

    size_name = "rank"
    tiers: Tensor
    _place: Tensor

    def __init__(
        self,
        inner: FactorisedEmbedding,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(inner.num_embeddings, inner.embedding_dim, padding_idx)
        self.inner = inner
        self.rank = inner.rank
        pairs = torch.zeros((inner.num_embeddings + 1) // 2, dtype=torch.uint8, device=device)
        self.register_buffer("tiers", pairs)
        self.register_load_state_dict_post_hook(lay_out_again)  # type: ignore[no-untyped-call]
        self.lay_out()

    @classmethod
    def over(
        cls, inner: FactorisedEmbedding, tier: Tensor, padding_idx: int | None
    ) -> "ReorderedEmbedding":
        """Over an embedding whose rows are those of a table, sorted by `tier` (V,), 0 to 15."""
        embedding = cls(inner, padding_idx, tier.device)
        pairs = F.pad(tier.to(torch.uint8), (0, len(tier) % 2)).reshape(-1, 2)
        embedding.tiers = pairs[:, 0] | pairs[:, 1] << 4
        embedding.lay_out()
        return embedding

    @staticmethod
    def order(tier: Tensor) -> Tensor:
        """The rows (V,) in the order in which `inner` has them."""
        return tier.argsort(stable=True)

    def lay_out(self) -> None:
        """Derive the place of each row from the stored tiers."""
        tier = torch.stack([self.tiers & 15, self.tiers >> 4], 1).flatten()[: self.num_embeddings]
        place = self.order(self.order(tier)).unsqueeze(1)
        self.register_buffer("_place", place, persistent=False)
        self.inner.lay_out()

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        vectors: Tensor = self.inner(F.embedding(indices, self._place).squeeze(-1))
        return vectors

    def scores(self, states: Tensor) -> Tensor:
        """See `CompressedEmbedding`."""
        return self.inner.scores(states)[..., self._place.squeeze(1)]

    def shipped(self) -> "ReorderedEmbedding":
        """Over what is shipped of `inner`."""
        inner = self.inner.shipped()
        if inner is self.inner:
            return self
        assert isinstance(inner, FactorisedEmbedding)
        reordered = type(self)(inner, self.padding_idx, self.tiers.device)
        reordered.tiers = self.tiers
        reordered.lay_out()
        return reordered
