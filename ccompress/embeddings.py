"""Compressed embeddings that take the place of `torch.nn.Embedding`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.errors import InputError
from ccompress.low_rank import factorize
from ccompress.packing import bytes_per_row, dequantize, pack, quantize, unpack


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
        self.padding_idx = _padding_row(padding_idx, num_embeddings)
        self.sparse = sparse
        self.A = nn.Parameter(torch.empty(num_embeddings, rank, device=device, dtype=dtype))
        self.B = nn.Parameter(torch.empty(rank, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_table(
        cls, table: Tensor, rank: int, padding_idx: int | None = None, sparse: bool = False
    ) -> "LowRankEmbedding":
        """The best factors of a (V, d) table: see `ccompress.low_rank.factorize`.

        They have the table's dtype and device. A row of zeros is read as exact zeros.

        Raises:
            InputError: if the rank or padding_idx is out of range or the table holds NaN.
        """
        A, B = factorize(table, rank)
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
        return F.embedding(indices, self.A, self.padding_idx, sparse=self.sparse) @ self.B

    def factors(self) -> tuple[nn.Module, Tensor]:
        """An embedding that reads rows of A, of k columns, and B (k, d); both share the tensors."""
        A = nn.Embedding(self.num_embeddings, self.rank, self.padding_idx, _weight=self.A)
        return A, self.B

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}" + _shown(self)


class QuantizedEmbedding(nn.Module):
    """A frozen embedding of b bits a number, kept packed in memory and unpacked by row when read.

    Its tensors are the buffers `packed`, uint8 of shape (V, ceil(d b / 8)), and the scalars
    `lower` and `upper`, between which 2^b reference values lie evenly: see `ccompress.packing`.
    Made afresh it is all zeros, ready for `load_state_dict`; a table is quantized by `from_table`.

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

    packed: Tensor
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
        super().__init__()
        if not 1 <= bits <= 32:
            raise InputError(f"bits={bits}: give 1 to 32")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.bits = bits
        self.padding_idx = _padding_row(padding_idx, num_embeddings)
        width = bytes_per_row(bits, embedding_dim)
        packed = torch.zeros(num_embeddings, width, dtype=torch.uint8, device=device)
        self.register_buffer("packed", packed)
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

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        packed = F.embedding(indices, self.packed)  # checks the indices as nn.Embedding does
        numbers = unpack(packed, self.bits, self.embedding_dim)
        vectors = dequantize(numbers, self.lower, self.upper, self.bits)
        if self.padding_idx is None:
            return vectors
        return vectors.masked_fill((indices == self.padding_idx).unsqueeze(-1), 0)

    def extra_repr(self) -> str:
        """What `print` shows of the module."""
        return f"{self.num_embeddings}, {self.embedding_dim}, bits={self.bits}" + _shown(self)


def _padding_row(padding_idx: int | None, num_embeddings: int) -> int | None:
    """A padding_idx as a row number; like `torch.nn.Embedding`'s it may count from the end."""
    if padding_idx is None:
        return None
    if not -num_embeddings <= padding_idx < num_embeddings:
        raise InputError(f"padding_idx={padding_idx} is no row of {num_embeddings}")
    return padding_idx % num_embeddings


def _shown(embedding: LowRankEmbedding | QuantizedEmbedding) -> str:
    """The options of a compressed embedding that are not at their defaults."""
    padding_idx = embedding.padding_idx
    shown = "" if padding_idx is None else f", padding_idx={padding_idx}"
    return shown + ", sparse=True" * getattr(embedding, "sparse", False)
