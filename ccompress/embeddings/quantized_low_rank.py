"""An embedding whose table is the product of two factors of one byte a number."""

import torch
from torch import Tensor, nn

from ccompress.embeddings.factorised import FactorisedEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding


class QuantizedLowRankEmbedding(FactorisedEmbedding):
    """A frozen embedding whose table is the product of two factors of one byte a number.

    It reads row i as A[i] diag(scale) B. A (V, k) and B (k, d) are `QuantizedEmbedding`s of 8 bits.
    Before rounding, each column of A and each row of B is divided by its largest magnitude, so that
    it uses the whole range of the 256 values. `scale` (k,) holds the products of these magnitudes.
    `from_factors` rounds trained factors. A new one is all zeros, ready for `load_state_dict`.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        rank: k, 1 to d.
        padding_idx: a row that reads as exact zeros.
        device: where the buffers lie.
        dtype: type of the vectors.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if the rank or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.

    Example:
        >>> import torch
        >>> from ccompress.embeddings import LowRankEmbedding, QuantizedLowRankEmbedding
        >>> small = QuantizedLowRankEmbedding.from_factors(LowRankEmbedding(1000, 64, rank=8))
        >>> sum(tensor.nbytes for tensor in small.state_dict().values())  # of 256,000
        8560
    """

    row_tensors = ("A.packed",)
    scale: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, rank, padding_idx)
        self.A = QuantizedEmbedding(num_embeddings, rank, 8, padding_idx, device, dtype)
        self.B = QuantizedEmbedding(rank, embedding_dim, 8, None, device, dtype)
        self.register_buffer("scale", torch.zeros(rank, device=device, dtype=dtype))

    @classmethod
    @torch.no_grad()
    def from_factors(cls, factors: LowRankEmbedding) -> "QuantizedLowRankEmbedding":
        """Round trained factors; keeps their dtype and device.

        Raises:
            InputError: if a factor holds NaN or infinity.
        """
        rows, dim, rank = factors.num_embeddings, factors.embedding_dim, factors.rank
        embedding = cls(rows, dim, rank, factors.padding_idx, device="meta")
        columns, lines = factors.A.abs().amax(0), factors.B.abs().amax(1)
        embedding.scale = columns * lines
        columns, lines = (largest.where(largest > 0, 1) for largest in (columns, lines))
        embedding.A = QuantizedEmbedding.from_table(factors.A / columns, 8, factors.padding_idx)
        embedding.B = QuantizedEmbedding.from_table(factors.B / lines.unsqueeze(1), 8)
        return embedding

    def factors(self) -> tuple[nn.Module, Tensor]:
        """The embedding that reads rows of A, of k columns, and diag(scale) B (k, d)."""
        lines = torch.arange(self.rank, device=self.scale.device)
        return self.A, self.scale.unsqueeze(1) * self.B(lines)


class UnroundedLowRankEmbedding(LowRankEmbedding):
    """A `LowRankEmbedding` that trains as such and is shipped in one byte a number."""

    @torch.no_grad()
    def shipped(self) -> QuantizedLowRankEmbedding:
        """The factors, rounded; only a row of zeros stays marked as padding."""
        padding_idx = self.padding_idx
        if padding_idx is not None and self.A[padding_idx].any():
            padding_idx = None  # it would read as zeros
        factors = LowRankEmbedding(
            self.num_embeddings, self.embedding_dim, self.rank, padding_idx, device="meta"
        )
        factors.A, factors.B = self.A, self.B
        return QuantizedLowRankEmbedding.from_factors(factors)
