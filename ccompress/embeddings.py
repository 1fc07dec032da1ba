"""Compressed embeddings that take the place of `torch.nn.Embedding`."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.errors import InputError
from ccompress.low_rank import factorize
from ccompress.packing import dequantize, pack, quantize, unpack
from ccompress.rates import bytes_per_row


class LowRankEmbedding(nn.Module):
    """An embedding whose table is the product of two trainable factors A (V, k) and B (k, d).

    It reads row i as A[i] B, in place of the V x d numbers of `torch.nn.Embedding` (Acharya et
    al. 2019, arXiv 1811.00641). Begin from a trained table with `from_table`; made afresh, its
    rows have the unit variance of `torch.nn.Embedding`.

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
        super().__init__()
        if not 1 <= rank <= embedding_dim:
            raise InputError(f"rank={rank}: vectors of {embedding_dim} have ranks 1 to that")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.rank = rank
        self.padding_idx = padding_row(padding_idx, num_embeddings)
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
        """The best factors of a (V, d) table: see `ccompress.low_rank.factorize`.

        `weights` (V,) says how much each row counts; without it all count alike. The factors have
        the table's dtype and device. A row of zeros is read as exact zeros.

        Raises:
            InputError: if the rank or padding_idx is out of range or the table holds NaN.
        """
        A, B = factorize(table, rank, weights)
        rows, dim = table.shape
        embedding = cls(rows, dim, rank, padding_idx, sparse, device="meta")
        embedding.A, embedding.B = nn.Parameter(A), nn.Parameter(B)
        return embedding

    def reset_parameters(self) -> None:
        """Draws the factors afresh, so that a number of A B has mean 0 and variance 1."""
        deviation = self.rank**-0.25  # a sum of k products, each of variance k**-0.5 squared
        nn.init.normal_(self.A, std=deviation)
        nn.init.normal_(self.B, std=deviation)
        if self.padding_idx is not None:
            with torch.no_grad():
                self.A[self.padding_idx] = 0

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        rows, B = self.read_factors(indices)
        return rows @ B

    def read_factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of A, of shape (..., k), and B: what reads both can leave out the product."""
        return F.embedding(indices, self.A, self.padding_idx, sparse=self.sparse), self.B

    def factors(self) -> tuple[nn.Module, Tensor]:
        """An embedding that reads rows of A, of k columns, and B (k, d); both share the tensors."""
        A = nn.Embedding(self.num_embeddings, self.rank, self.padding_idx, _weight=self.A)
        return A, self.B

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return printed(self, f"rank={self.rank}")


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


class QuantizedEmbedding(PackedEmbedding):
    """A frozen embedding of b bits a number, whose 2^b reference values are spaced evenly.

    It is kept packed in memory and unpacked by row when read. Its tensors are the buffers `packed`,
    uint8 of shape (V, ceil(d b / 8)), and the scalars `lower` and `upper`, between which the
    reference values lie: see `ccompress.packing`. Made afresh it is all zeros, ready for
    `load_state_dict` of an embedding of as many bits; a table is quantized by `from_table`.

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
        """Rounds a (V, d) table to 2^b reference values; its dtype and device are kept.

        Raises:
            InputError: if bits or padding_idx is out of range, the table is empty or holds NaN.
        """
        rows, dim = table.shape
        embedding = cls(rows, dim, bits, padding_idx, device="meta")
        indices, embedding.lower, embedding.upper = quantize(table, bits)
        embedding.packed = pack(indices, bits)
        return embedding

    def values(self, numbers: Tensor) -> Tensor:
        """Evenly spaced, the first at `lower`, the last at `upper`."""
        return dequantize(numbers, self.lower, self.upper, self.bits)


class QuantizedLowRankEmbedding(nn.Module):
    """A frozen embedding whose table is the product of two factors of one byte a number.

    It reads row i as A[i] diag(scale) B. A (V, k) and B (k, d) are `QuantizedEmbedding`s of 8 bits;
    before they are rounded, each column of A and each row of B is divided by its largest magnitude,
    so that all of them use the whole range of the 256 values, and `scale` (k,) holds the products
    of these. Made afresh it is all zeros, ready for `load_state_dict`; trained factors are rounded
    by `from_factors`.

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
        super().__init__()
        if not 1 <= rank <= embedding_dim:
            raise InputError(f"rank={rank}: vectors of {embedding_dim} have ranks 1 to that")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.rank = rank
        self.padding_idx = padding_row(padding_idx, num_embeddings)
        self.A = QuantizedEmbedding(num_embeddings, rank, 8, padding_idx, device, dtype)
        self.B = QuantizedEmbedding(rank, embedding_dim, 8, None, device, dtype)
        self.register_buffer("scale", torch.zeros(rank, device=device, dtype=dtype))

    @classmethod
    @torch.no_grad()
    def from_factors(cls, factors: LowRankEmbedding) -> "QuantizedLowRankEmbedding":
        """Rounds trained factors; their dtype and device are kept.

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

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        rows, B = self.read_factors(indices)
        return rows @ B

    def read_factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of A, of shape (..., k), and diag(scale) B: see `LowRankEmbedding`."""
        A, B = self.factors()
        return A(indices), B

    def factors(self) -> tuple[nn.Module, Tensor]:
        """The embedding that reads rows of A, of k columns, and diag(scale) B (k, d)."""
        lines = torch.arange(self.rank, device=self.scale.device)
        return self.A, self.scale.unsqueeze(1) * self.B(lines)

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return printed(self, f"rank={self.rank}")


def padding_row(padding_idx: int | None, num_embeddings: int) -> int | None:
    """A padding_idx as a row number; like `torch.nn.Embedding`'s it may count from the end.

    Raises:
        InputError: if it is no row.
    """
    if padding_idx is None:
        return None
    if not -num_embeddings <= padding_idx < num_embeddings:
        raise InputError(f"padding_idx={padding_idx} is no row of {num_embeddings}")
    return padding_idx % num_embeddings


def without_padding(vectors: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    """The vectors (..., d) of indices (...), those of padding_idx exact zeros."""
    if padding_idx is None:
        return vectors
    return vectors.masked_fill((indices == padding_idx).unsqueeze(-1), 0)


def printed(embedding: nn.Module, size: str) -> str:
    """What `print` shows of a compressed embedding: sizes, and options not at their defaults."""
    padding_idx = getattr(embedding, "padding_idx", None)
    shown = f"{embedding.num_embeddings}, {embedding.embedding_dim}, {size}"
    shown += "" if padding_idx is None else f", padding_idx={padding_idx}"
    return shown + ", sparse=True" * getattr(embedding, "sparse", False)
