"""An embedding whose table is the product of two trainable factors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.factorised import FactorisedEmbedding
from ccompress.numerics.svd import factorize


class LowRankEmbedding(FactorisedEmbedding):
    """An embedding whose table is the product of two trainable factors A (V, k) and B (k, d).

    It reads row i as A[i] B instead of storing the V x d numbers of `torch.nn.Embedding` (Acharya
    et al. 2019, arXiv 1811.00641). `from_table` begins from a trained table. The rows of a new one
    have unit variance, as those of `torch.nn.Embedding` do.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        rank: k, 1 to d.
        padding_idx: a row of A that training never changes; zero when made afresh.
        sparse: whether A's gradient is sparse, as `torch.nn.Embedding(sparse=True)`'s; B's is
            always dense.
        device: where the factors lie.
        dtype: their type.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if the rank or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.

    Example:
        >>> import torch, ccompress
        >>> embedding = ccompress.LowRankEmbedding(1000, 64, rank=8)
        >>> embedding(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 64])
        >>> sum(p.numel() for p in embedding.parameters())  # of 64,000
        8512
    """

    row_tensors = ("A",)

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        padding_idx: int | None = None,
        sparse: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, rank, padding_idx)
        self.sparse = sparse
        self.A = nn.Parameter(torch.empty(num_embeddings, rank, device=device, dtype=dtype))
        self.B = nn.Parameter(torch.empty(rank, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_table(
        cls,
        table: Tensor,
        rank: int,
        padding_idx: int | None = None,
        sparse: bool = False,
        weights: Tensor | None = None,
    ) -> "LowRankEmbedding":
        """The best factors of a (V, d) table: see `ccompress.numerics.svd.factorize`.

        `weights` (V,) says how much each row counts; without it all rows count the same. The
        factors have the table's dtype and device. A row of zeros reads as exact zeros.

        Raises:
            InputError: if the rank or padding_idx is out of range or the table holds NaN.
        """
        A, B = factorize(table, rank, weights)
        rows, dim = table.shape
        embedding = cls(rows, dim, rank, padding_idx, sparse, device="meta")
        embedding.A, embedding.B = nn.Parameter(A), nn.Parameter(B)
        return embedding

    @torch.no_grad()
    def resized(self, rows: int) -> "LowRankEmbedding":
        """The first `rows` rows; where there are not as many, new ones that are their mean."""
        new = type(self)(
            rows, self.embedding_dim, self.rank, self.padding_idx, self.sparse, device="meta"
        )
        mean = self.A.mean(0, keepdim=True).expand(max(0, rows - len(self.A)), -1)
        A = torch.cat([self.A[:rows], mean])
        new.A, new.B = nn.Parameter(A, self.A.requires_grad), self.B
        return new

    def reset_parameters(self) -> None:
        """Draw new factors, such that the numbers of A B have mean 0 and variance 1."""
        deviation = self.rank**-0.25  # a sum of k products, each of variance k**-0.5 squared
        nn.init.normal_(self.A, std=deviation)
        nn.init.normal_(self.B, std=deviation)
        if self.padding_idx is not None:
            with torch.no_grad():
                self.A[self.padding_idx] = 0

    def read_factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of A, of shape (..., k), and B, for a reader that can leave out the product."""
        return F.embedding(indices, self.A, self.padding_idx, sparse=self.sparse), self.B

    def scores(self, states: Tensor) -> Tensor:
        """See `FactorisedEmbedding`; all of A gets a gradient, as the weight of nn.Linear does."""
        return F.linear(F.linear(states, self.B), self.A)

    def factors(self) -> tuple[nn.Module, Tensor]:
        """See `FactorisedEmbedding`; the first is an `nn.Embedding`, frozen where A is."""
        A = nn.Embedding(
            self.num_embeddings, self.rank, self.padding_idx, sparse=self.sparse, _weight=self.A
        )
        return A.requires_grad_(self.A.requires_grad).train(self.training), self.B

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return super().extra_repr() + ", sparse=True" * self.sparse
