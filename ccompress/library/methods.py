"""The methods of the command line that start from a trained table, as functions of that table."""

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

# How often each row is read (V,); or texts, given as the ids of the rows that they read.
Counts = Tensor | Iterable[Tensor | Sequence[int]]


@dataclass(frozen=True)
class Given:
    """The input of a method.

    Attributes:
        table: E (V, d).
        rate: p, the fraction of the table's bytes to remove.
        padding_idx: The row of padding, if there is one.
        sparse: Whether the gradient of the table is sparse.
        counts: How often each row is read (V,). Only the methods in `COUNTING` use it.
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
        """The number of bits of each number in the table."""
        return 8 * self.table.element_size()

    @property
    def zeros(self) -> int | None:
        """The row of padding, if it is zero; a frozen embedding reads that row as zeros."""
        row = self.padding_idx
        return None if row is None or self.table[row].any() else row


Method = Callable[[Given], CompressedEmbedding]


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
    padding_idx = sorted_padding_idx = given.zeros
    if padding_idx is not None:
        sorted_padding_idx = int((order == padding_idx).nonzero())
    # The tier of each row takes four bits.
    budget = int(rates.kept_fraction(given.rate) * table.nbytes) - (len(table) + 1) // 2
    inner = FakeQuantizedLowRankEmbedding.from_table(
        table[order], counts.to(table.device)[order], budget, sorted_padding_idx
    )
    inner.sparse = given.sparse
    return ReorderedEmbedding.over(inner, tier, padding_idx)


def _frozen(
    from_table: Callable[[Tensor, int, int | None], CompressedEmbedding],
    size: Callable[[int, int, float, int], int],
) -> Method:
    """A method that freezes the table.

    Args:
        from_table: Makes the embedding, given the table, its size and the row of padding.
        size: Gives the bits per number, or the codes per row, for V, d, p and the bits of each
            number in the table.
    """
    return lambda given: from_table(given.table, size(*given.size, given.width), given.zeros)


# By their names on the command line.
METHODS: dict[str, Method] = {
    "in_training_svd": _low_rank,
    "in_training_svd_weighted": _weighted,
    "in_training_svd_int8": _int8,
    "in_training_svd_mixed": _mixed,
    "quantization": _frozen(QuantizedEmbedding.from_table, rates.quantized_bits),
    "row_quantization": _frozen(RowQuantizedEmbedding.from_table, rates.row_quantized_bits),
    "codebook_quantization": _frozen(CodebookEmbedding.from_table, rates.codebook_bits),
    "product_quantization": _frozen(ProductQuantizedEmbedding.from_table, rates.subvectors),
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
    """Check a method's name, and that counts are given if and only if the method uses them.

    Raises:
        InputError: The method is not known here, lacks its counts, or does not use them.
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
        counts: The counts themselves (V,), or tensors or lists of ids, of any shape.
        rows: V.

    Raises:
        InputError: The counts have another shape or are negative, or an id is no row.
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
