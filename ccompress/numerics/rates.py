"""Which rank or how many bits a rate leaves of a table, in exact arithmetic. Imports no torch."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from ccompress.errors import InputError

CENTROIDS = 256  # for each sub-vector in product quantization: a byte tells them apart
LARGEST_CODEBOOK = 16  # the most bits of an index into a codebook


def kept_fraction(rate: float) -> Fraction:
    """The fraction 1 - p of the bytes that stays, exactly as the rate's decimal text says.

    In binary floating point floor((1 - 0.9) * 300) is 29; here it is 30.

    Raises:
        InputError: if `rate` is not a number with 0 <= rate < 1.
    """
    try:
        removed = Decimal(str(rate))
    except InvalidOperation:
        raise InputError(f"rate={rate} is not a number: give 0 <= rate < 1") from None
    if not (removed.is_finite() and 0 <= removed < 1):
        percent = removed.is_finite() and 1 < removed < 100
        meant = f" (did you mean rate={removed / 100:g}?)" if percent else ""
        raise InputError(f"rate={rate} is out of range{meant}: give 0 <= rate < 1")
    return 1 - Fraction(removed)


kept = kept_fraction  # the former name, which users' methods may call


def no_room(rate: float, what: str, largest: Fraction | None) -> InputError:
    """The error for a rate that leaves `what` ("no rank"). It names the largest rate that works.

    `largest` is that rate, exactly, or None where no rate works.
    """
    if largest is None:
        return InputError(f"rate={rate} leaves {what}, and so does every other rate")
    shown = Fraction(int(largest * 10**5), 10**5)  # rounded down, so that the rate named works
    return InputError(f"rate={rate} leaves {what}: the largest rate that works is {float(shown):g}")


def rank_of_factors(rows: int, dim: int, rate: float) -> int:
    """The rank k = floor((1-p) V d / (V+d)) of two factors V x k and k x d (Acharya et al. 2019).

    It is the largest k with k (V+d) <= (1-p) V d. For V = 10,000, d = 300 and rate 0.9 that is 29.
    The worked example of arXiv 1811.00641 takes rank 30, which removes 89.7 %.

    Args:
        rows: V, the number of words.
        dim: d, the length of a vector.
        rate: p, the fraction of the table's bytes to remove.

    Raises:
        InputError: if the rate leaves no rank, or only one at which the factors are no smaller
            than the table.
    """
    size, factors = rows * dim, rows + dim  # numbers in the table; numbers per rank
    rank = int(kept_fraction(rate) * size / factors)
    table = f"a table of {rows} x {dim}"
    if rank < 1 or factors >= size:
        largest = 1 - Fraction(factors, size) if factors < size else None
        raise no_room(rate, f"no rank for factors smaller than {table}", largest)
    if rank * factors >= size:
        raise InputError(
            f"rate={rate} gives rank {rank}, at which the factors are no smaller than {table}: "
            "give a larger rate"
        )
    return rank


def rank_of_byte_factors(rows: int, dim: int, rate: float, width: int = 32) -> int:
    """The rank k of two factors V x k and k x d of one byte a number, at most d.

    It is the largest whose bytes fit: k (V+d+4) + 16 <= 4 (1-p) V d, if the table has 4 bytes a
    number (`width` is 8 times as much). Each column of the first factor shares a float32 scale with
    a row of the second, and each factor has two reference values
    (`ccompress.embeddings.QuantizedLowRankEmbedding`). So rate 0.975 has the rank that
    `rank_of_factors` has at 0.9, or one less because of the scales.

    Raises:
        InputError: if the rate leaves no rank.
    """
    number = width // 8  # bytes
    budget = kept_fraction(rate) * number * rows * dim
    rank = int((budget - 4 * number) // (rows + dim + number))
    if rank < 1:
        least = rows + dim + 5 * number
        raise no_room(
            rate, f"no rank of one byte for {rows} x {dim}", _largest_rate(rows, dim, least, number)
        )
    return min(rank, dim)


def rank_of_projection(dim: int, rate: float) -> int:
    """The dimension k = floor((1-p) d) of vectors shortened from d numbers to k.

    Raises:
        InputError: if the rate leaves no dimension.
    """
    rank = int(kept_fraction(rate) * dim)
    if rank < 1:
        raise no_room(rate, f"no dimension of {dim}", 1 - Fraction(1, dim))
    return rank


def quantized_bits(rows: int, dim: int, rate: float, width: int = 32) -> int:
    """The bits b = floor(width (1-p)) that a rate leaves of each number, at most 32.

    Args:
        rows: V, the number of words.
        dim: d, the length of a vector.
        rate: p, the fraction of the table's bytes to remove.
        width: bits of a number of the table, 32 for float32.

    Raises:
        InputError: if the rate leaves no bit, or V rows of ceil(d b / 8) bytes and the two ends of
            the scale are together no smaller than the table.
    """
    bits = min(int(width * kept_fraction(rate)), 32)
    if bits < 1:
        raise no_room(rate, f"no bit of {width}", 1 - kept_fraction(0) / width)
    number = width // 8  # bytes
    size, table = rows * bytes_per_row(bits, dim) + 2 * number, rows * dim * number
    if size >= table:
        raise InputError(
            f"rate={rate} leaves {bits} bits, {size:,} bytes of {table:,} with the scale: nothing "
            f"gets smaller, give a larger rate"
        )
    return bits


def row_quantized_bits(rows: int, dim: int, rate: float, width: int = 32) -> int:
    """The bits b, 1 to 8, that a rate leaves of each number beside two float16 for each row.

    It is the largest b at which V rows of ceil(d b / 8) + 4 bytes and 4 bytes for the table fit
    into 4 (1-p) V d bytes, if the table has 4 bytes a number (`width` is 8 times as much).

    Raises:
        InputError: if the rate leaves no bit.
    """
    number = width // 8  # bytes
    sizes = [rows * (bytes_per_row(b, dim) + 4) + number for b in range(1, 9)]
    return _most_bits(sizes, rows, dim, rate, number, "beside its scales")


def codebook_bits(rows: int, dim: int, rate: float, width: int = 32) -> int:
    """The bits b that a rate leaves of each number beside 2^b stored float32 values.

    It is the largest b, 1 to 16, at which V rows of ceil(d b / 8) bytes and 4 2^b bytes of
    reference values fit into 4 (1-p) V d bytes, if the table has 4 bytes a number (`width` is 8
    times as much). More than 16 bits would be finer than any table
    needs.

    Raises:
        InputError: if the rate leaves no bit.
    """
    number = width // 8  # bytes
    bits = range(1, LARGEST_CODEBOOK + 1)
    sizes = [rows * bytes_per_row(b, dim) + number * 2**b for b in bits]
    return _most_bits(sizes, rows, dim, rate, number, "and its codebook")


def _most_bits(
    sizes: Sequence[int], rows: int, dim: int, rate: float, number: int, extras: str
) -> int:
    """The most bits whose bytes fit into (1-p) V d `number`; `sizes` has those of 1, 2, … bits.

    Raises:
        InputError: if not even 1 bit fits; `extras` are what is stored beside the bits.
    """
    budget = kept_fraction(rate) * number * rows * dim
    bits = sum(size <= budget for size in sizes)  # the sizes rise
    if not bits:
        largest = _largest_rate(rows, dim, sizes[0], number)
        raise no_room(rate, f"no bit for {rows} x {dim} {extras}", largest)
    return bits


def subvectors(rows: int, dim: int, rate: float, width: int = 32) -> int:
    """The number n of sub-vectors into which product quantization can cut each vector, 1 to d.

    It is the largest n at which the codes (V rows of n bytes) and the centroids (4 x 256 d bytes,
    however the vectors are cut) fit into 4 (1-p) V d bytes, if the table has 4 bytes a number
    (`width` is 8 times as much).

    Raises:
        InputError: if the rate leaves no code at all.
    """
    number = width // 8  # bytes
    centroids = number * CENTROIDS * dim
    parts = int((kept_fraction(rate) * number * rows * dim - centroids) // rows)
    if parts < 1:
        raise no_room(
            rate,
            f"no code for {rows} x {dim} and its codebook of {centroids} bytes",
            _largest_rate(rows, dim, rows + centroids, number),
        )
    return min(parts, dim)


def bytes_per_row(bits: int, dim: int) -> int:
    """The bytes of a packed row of `dim` numbers: ceil(d b / 8)."""
    return (dim * bits + 7) // 8


def _largest_rate(rows: int, dim: int, least: int, number: int) -> Fraction | None:
    """The rate that leaves exactly `least` bytes of a table; None if the table has fewer."""
    rate = 1 - Fraction(least, number * rows * dim)
    return rate if rate >= 0 else None
