"""Bits for factors of mixed precision: how many each column gets in each tier of rows.

A table of V words is read as A B with A (V, k) and B (k, d), the rows of B orthogonal. Rows of A
fall into tiers by how often their word occurs in training; all numbers of one tier and one column
have the same number of bits, 0 to 4. Frequent words and strong columns get more of them.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ccompress.errors import InputError
from ccompress.numerics.rates import kept_fraction, no_room

# The fewest occurrences in training of the words of each tier but the last.
EDGES = (128, 32, 16, 8, 6, 4, 3, 2)
TIERS = len(EDGES) + 1
# The evenly spaced quantizer of 2^b levels with the least mean squared error on a unit Gaussian:
# its step and that error (Max 1960, "Quantizing for minimum distortion", table II). No bits: the
# number reads as 0.
STEPS = (1.0, 1.5956, 0.9957, 0.5860, 0.3352)
ERRORS = (1.0, 0.3634, 0.1188, 0.03744, 0.01154)
MOST_BITS = len(ERRORS) - 1

Matrix = npt.NDArray[np.float64]
Bits = npt.NDArray[np.int64]


def tiers(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The tier of each row, 0 for the most frequent words, from the counts of its word (V,)."""
    return TIERS - 1 - np.searchsorted(EDGES[::-1], counts, side="right")


def stored_bytes(bits: Bits, sizes: Sequence[int], dim: int) -> int:
    """Bytes of all tensors that hold factors of mixed precision.

    These are the codes of A, a stream of whole bytes for each tier; the codes of B in 8 bits; a
    float32 step for each column of A, each tier and each row of B; the table of bits, half a byte
    an entry; and the int32 number of each tier's first row.

    Args:
        bits: Bits of each tier's numbers in each column (T, k), 0 to 4.
        sizes: Rows of each tier (T,).
        dim: d, the length of a vector.
    """
    tier_count, rank = bits.shape
    streams = sum(-(-int(n) * int(w) // 8) for n, w in zip(sizes, bits.sum(1), strict=True))
    return streams + _fixed_bytes(tier_count, rank, dim)


def check_room(rows: int, dim: int, rate: float) -> None:
    """Refuse a rate that leaves less than one bit of one column for every row.

    Raises:
        InputError: The rate leaves too little; the message names the largest rate that works.
    """
    least = _fixed_bytes(TIERS, 1, dim) + TIERS + -(-rows // 8)
    if kept_fraction(rate) * 4 * rows * dim < least:
        largest = 1 - Fraction(least, 4 * rows * dim)
        what = f"no column of one bit for {rows} x {dim}"
        raise no_room(rate, what, largest if largest >= 0 else None)


def allocate(energy: Matrix, weights: Matrix, sizes: Sequence[int], budget: int) -> Bits:
    """The bits of each tier and column that cost the least weighted error within a budget.

    Minimised is the sum over tiers t and columns j of n_t w_t v_tj D(b_tj) with D the error of the
    best b-bit quantizer of a unit Gaussian (`ERRORS`). For a given rank each next bit goes to where
    it saves the most per byte; since D falls convexly, this greedy choice is the best up to the
    last bit that fits. Every rank is tried.

    Args:
        energy: v, the mean square of each column's numbers in each tier (T, d), columns in
            falling order of their singular values.
        weights: w, what a row's squared error counts in each tier (T,).
        sizes: n, the rows of each tier (T,).
        budget: Bytes that `stored_bytes` must not exceed.

    Returns:
        Bits (T, k) with the best rank k, 1 to d. A column may have none in any tier: leave it out.

    Raises:
        InputError: Not even one bit of one tier fits.
    """
    tier_count, dim = energy.shape
    rows = np.asarray(sizes, np.float64)
    value = rows[:, None] * weights[:, None] * energy
    value[rows == 0] = 0
    saved = -np.diff(ERRORS)
    best: tuple[float, Bits] | None = None
    for rank in range(1, dim + 1):
        # Each tier's stream ends on a whole byte: a byte a tier covers that.
        room = budget - _fixed_bytes(tier_count, rank, dim) - tier_count
        if room <= 0:
            break
        bits = _greedy(weights[:, None] * energy[:, :rank], saved, rows, room)
        error = float((value[:, :rank] * np.take(ERRORS, bits)).sum() + value[:, rank:].sum())
        if bits.any() and (best is None or error < best[0]):
            best = error, bits
    if best is None:
        raise InputError(f"{budget} bytes leave no bit for factors of {dim} columns")
    return best[1]


def _greedy(value: Matrix, saved: Matrix, rows: Matrix, room: float) -> Bits:
    """Bits (T, k) within `room` bytes: the most valuable first, each bit of a tier n_t / 8 bytes.

    Args:
        value: What a row's unit error costs in each tier and column (T, k).
        saved: The share of it that each further bit saves (most bits,), falling.
        rows: n, the rows of each tier (T,).
        room: Bytes.
    """
    tier_count, rank = value.shape
    gains = (value[:, :, None] * saved).reshape(-1)
    order = np.argsort(-gains, kind="stable")
    tier = order // (rank * len(saved))
    worth = (gains[order] > 0) & (rows[tier] > 0)
    order, tier = order[worth], tier[worth]
    bits = np.zeros(tier_count * rank, np.int64)
    cost = rows[tier] / 8
    # All of the leading run that fits, then whichever later bits still do. A number's next bit
    # costs as much as the one before, so it never fits where that did not.
    fitting = int(np.searchsorted(np.cumsum(cost), room, side="right"))
    np.add.at(bits, order[:fitting] // len(saved), 1)
    room -= float(cost[:fitting].sum())
    for place in range(fitting, len(order)):
        if cost[place] <= room:
            bits[order[place] // len(saved)] += 1
            room -= float(cost[place])
        elif room < cost.min():
            break
    return bits.reshape(tier_count, rank)


def _fixed_bytes(tier_count: int, rank: int, dim: int) -> int:
    """Bytes of everything but the codes of A."""
    steps = 4 * (rank + tier_count + rank)
    return rank * dim + steps + -(-tier_count * rank // 2) + 4 * tier_count
