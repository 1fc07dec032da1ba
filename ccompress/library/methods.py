"""The compressed forms of a trained table: the methods of the command line that start from one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ccompress.embeddings.base import CompressedEmbedding
from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.fake_quantized import FakeQuantizedLowRankEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import UnroundedLowRankEmbedding
from ccompress.embeddings.reordered import ReorderedEmbedding
from ccompress.embeddings.row_quantized import RowQuantizedEmbedding
from ccompress.errors import InputError
from ccompress.numerics import allocation, rates

# How often each row is read (V,), or texts as ids of rows, of which it is counted.
Counts = Tensor | Iterable[Tensor | Sequence[int]]


@dataclass(frozen=True)
class Given:
    """What a method starts from.

    Attributes:
        table: E (V, d).
        rate: p, the fraction of its bytes to remove.
        padding_idx: the row that is padding.
        sparse: whether the gradient of the table is sparse.
        counts: how often each row is read (V,); of no meaning to methods that do not count.
    """

    table: Tensor
    rate: float
    padding_idx: int | None
    sparse: bool
    counts: Tensor

    @property
    def size(self) -> tuple[int, int, float]:
        """V, d and p."""
        rows, dim = self.table.shape
        return rows, dim, self.rate

    @property
    def width(self) -> int:
        """Bits of a number."""
        return 8 * self.table.element_size()

    @property
    def zeros(self) -> int | None:
        """The row of padding if it is zeros: a frozen embedding reads such a row as zeros."""
        row = self.padding_idx
        return None if row is None or self.table[row].any() else row


def _low_rank(given: Given) -> CompressedEmbedding:
    rank = rates.rank_of_factors(*given.size)
    return LowRankEmbedding.from_table(given.table, rank, given.padding_idx, given.sparse)


def _weighted(given: Given) -> CompressedEmbedding:
    rank = rates.rank_of_factors(*given.size)
    weights = (given.counts.double() + 1).sqrt().to(given.table.device)
    return LowRankEmbedding.from_table(
        given.table, rank, given.padding_idx, given.sparse, weights=weights
    )


def _int8(given: Given) -> CompressedEmbedding:
    rank = rates.rank_of_byte_factors(*given.size, given.width)
    return UnroundedLowRankEmbedding.from_table(given.table, rank, given.padding_idx, given.sparse)


def _mixed(given: Given) -> CompressedEmbedding:
    table, counts = given.table, given.counts
    tier = torch.from_numpy(allocation.tiers(counts.cpu().numpy())).to(table.device)
    order = ReorderedEmbedding.order(tier)
    padding_idx = inside = given.zeros
    if padding_idx is not None:
        inside = int((order == padding_idx).nonzero())
    budget = int(rates.kept_fraction(given.rate) * table.nbytes) - (len(table) + 1) // 2
    inner = FakeQuantizedLowRankEmbedding.from_table(
        table[order], counts.to(table.device)[order], budget, inside
    )
    inner.sparse = given.sparse
    return ReorderedEmbedding.over(inner, tier, padding_idx)


def _quantized(given: Given) -> CompressedEmbedding:
    bits = rates.quantized_bits(*given.size, given.width)
    return QuantizedEmbedding.from_table(given.table, bits, given.zeros)


def _row_quantized(given: Given) -> CompressedEmbedding:
    bits = rates.row_quantized_bits(*given.size, given.width)
    return RowQuantizedEmbedding.from_table(given.table, bits, given.zeros)


def _codebook(given: Given) -> CompressedEmbedding:
    bits = rates.codebook_bits(*given.size, given.width)
    return CodebookEmbedding.from_table(given.table, bits, given.zeros)


def _product(given: Given) -> CompressedEmbedding:
    parts = rates.subvectors(*given.size, given.width)
    return ProductQuantizedEmbedding.from_table(given.table, parts, given.zeros)


# By their names on the command line.
METHODS: dict[str, Callable[[Given], CompressedEmbedding]] = {
    "in_training_svd": _low_rank,
    "in_training_svd_weighted": _weighted,
    "in_training_svd_int8": _int8,
    "in_training_svd_mixed": _mixed,
    "quantization": _quantized,
    "row_quantization": _row_quantized,
    "codebook_quantization": _codebook,
    "product_quantization": _product,
}
COUNTING = ("in_training_svd_weighted", "in_training_svd_mixed")
_OTHERS = {
    "none": "it changes nothing",
    "in_training_svd_frozen": "it is in_training_svd with factors that you freeze",
    "pre_training_svd": "it needs a network that reads shorter vectors",
    "random_columns": "it does not start from a trained table",
    "factored_start": "it starts before the training",
}


def check(method: str, counts: Counts | None) -> None:
    """Refuse a method that is not known here, and counts without use.

    Raises:
        InputError: see there.
    """
    if method not in METHODS:
        why = f" ({_OTHERS[method]})" if method in _OTHERS else ""
        raise InputError(
            f"method={method!r} is not known here{why}: give {' or '.join(map(repr, METHODS))}"
        )
    if method in COUNTING and counts is None:
        raise InputError(
            f"method={method!r} needs counts=: how often each row is read (V,), or texts as ids"
        )
    if method not in COUNTING and counts is not None:
        raise InputError(f"method={method!r} does not use counts=: leave it out")


def counted(counts: Counts, rows: int) -> Tensor:
    """How often each row is read (V,), int64.

    Args:
        counts: that, of shape (V,), or tensors or lists of ids, of any shape.
        rows: V.

    Raises:
        InputError: if it is neither, or an id is no row.
    """
    if isinstance(counts, Tensor):
        if counts.shape != (rows,) or (counts < 0).any():
            raise InputError(
                f"counts is a tensor of shape {tuple(counts.shape)}: give {rows} counts of 0 or "
                f"more, or several tensors of ids as a list"
            )
        return counts.long()
    total = torch.zeros(rows, dtype=torch.int64)
    for text in counts:
        ids = torch.as_tensor(text).flatten()
        if not ids.numel():
            continue
        if ids.is_floating_point() or not 0 <= ids.min() <= ids.max() < rows:
            raise InputError(
                f"counts has ids from {ids.min()} to {ids.max()}: give whole numbers 0 to "
                f"{rows - 1}"
            )
        total += ids.long().cpu().bincount(minlength=rows)
    return total
