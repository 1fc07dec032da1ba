"""What a rate leaves of a table: exact arithmetic of ranks and bits. No torch is imported."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from ccompress.errors import InputError


def kept(rate: float) -> Fraction:
    """The fraction 1 - p of the bytes that stays, exact from the rate's decimal text.

    In binary floating point floor((1 - 0.9) * 300) is 29; here it is 30.

    Raises:
        InputError: if `rate` is not a number with 0 <= rate < 1.
    """
    try:
        removed = Decimal(str(rate))
    except InvalidOperation:
        raise InputError(f"rate={rate} is not a number: give 0 <= rate < 1") from None
    if not (removed.is_finite() and 0 <= removed < 1):
        raise InputError(f"rate={rate} is out of range: give 0 <= rate < 1")
    return 1 - Fraction(removed)


def no_room(rate: float, what: str, largest: Fraction | None) -> InputError:
    """The error for a rate that leaves `what` ("no rank"), naming the largest rate that does not.

    `largest` is that rate, exactly; None where every rate leaves nothing.
    """
    if largest is None:
        return InputError(f"rate={rate} leaves {what}, and so does every other rate")
    shown = Fraction(int(largest * 10**5), 10**5)  # rounded down, so that the rate named works
    return InputError(f"rate={rate} leaves {what}: the largest rate that works is {float(shown):g}")


def rank_of_factors(rows: int, dim: int, rate: float) -> int:
    """The rank k = floor((1-p) V d / (V+d)) of two factors V x k and k x d (Acharya et al. 2019).

    It is the largest k with k (V+d) <= (1-p) V d. V = 10,000, d = 300 and rate 0.9 give 29; the
    worked example of arXiv 1811.00641 takes rank 30, which removes 89.7 %.

    Args:
        rows: V, the number of words.
        dim: d, the length of a vector.
        rate: p, the fraction of the table's bytes to remove.

    Raises:
        InputError: if the rate leaves no rank, or only one at which the factors are no smaller
            than the table.
    """
    size, factors = rows * dim, rows + dim  # numbers in the table, numbers in the factors a rank
    rank = int(kept(rate) * size / factors)
    of = f"a table of {rows} x {dim}"
    if rank < 1 or factors >= size:
        largest = 1 - Fraction(factors, size) if factors < size else None
        raise no_room(rate, f"no rank for factors smaller than {of}", largest)
    if rank * factors >= size:
        raise InputError(
            f"rate={rate} gives rank {rank}, at which the factors are no smaller than {of}: "
            "give a larger rate"
        )
    return rank


def rank_of_projection(dim: int, rate: float) -> int:
    """The dimension k = floor((1-p) d) of vectors shortened from d numbers to k.

    Raises:
        InputError: if the rate leaves no dimension.
    """
    rank = int(kept(rate) * dim)
    if rank < 1:
        raise no_room(rate, f"no dimension of {dim}", 1 - Fraction(1, dim))
    return rank


def bits(rate: float, width: int = 32) -> int:
    """The bits b = floor(width (1-p)) that a rate leaves of each number, at most 32.

    Args:
        rate: p, the fraction of the table's bytes to remove.
        width: bits of a number of the table, 32 for float32.

    Raises:
        InputError: if the rate leaves no bit.
    """
    left = int(width * kept(rate))
    if left < 1:
        raise no_room(rate, f"no bit of {width}", 1 - kept(0) / width)
    return min(left, 32)
