"""Quantization to evenly spaced reference values, and the packing of b-bit numbers into bytes.

A quantized table is V rows of d indices of b bits. Each row is packed on its own into ceil(d b / 8)
bytes, so that rows can be gathered as bytes and unpacked one by one. The last byte of a row has at
most 7 unused bits. So the achieved reduction falls short of the requested rate by at most 7 / (32
d) (0.0004 at d = 300, 0.00125 at d = 100, where a row wastes 4 bits), and only at rates close to a
multiple of 1/32.

Number j of a row occupies bits j b to (j + 1) b - 1, where bit i is bit i mod 8 of byte i // 8,
least significant first.
"""

from math import gcd

import torch
from torch import Tensor

from ccompress.errors import InputError
from ccompress.numerics.rates import bytes_per_row
from ccompress.numerics.svd import BLOCK


@torch.no_grad()
def quantize(table: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rounds a table to 2^b evenly spaced reference values (fixed-point, arXiv 1811.00641).

    Index q stands for lower + q (upper - lower) / (2^b - 1). Indices are computed in float64,
    because in float32 the largest would overflow from 25 bits on.

    Args:
        table: of shape (V, d), any floating dtype.
        bits: b, 1 to 32.

    Returns:
        Indices of shape (V, d), 0 to 2^b - 1, in the smallest of uint8, int32 and int64 that holds
        them; then the smallest and the largest value of the table, scalars in its dtype. If all
        numbers of the table are equal, all indices are 0.

    Raises:
        InputError: if the table is empty or holds NaN or infinity.
    """
    refuse_unusable(table)
    lower, upper = table.aminmax()
    largest = 2**bits - 1
    step = _step(lower, upper, bits)
    dtype = torch.uint8 if bits <= 8 else torch.int32 if bits < 32 else torch.int64
    indices = torch.empty(table.shape, dtype=dtype, device=table.device)
    for out, block in zip(torch.split(indices, BLOCK), torch.split(table, BLOCK), strict=True):
        if step > 0:
            out.copy_(((block.double() - lower.double()) / step).round().clamp(0, largest))
        else:
            out.zero_()
    return indices, lower, upper


def refuse_unusable(table: Tensor) -> None:
    """Raises InputError if a table is empty or holds NaN or infinity."""
    if not (table.numel() and table.isfinite().all()):
        raise InputError("the embedding table is empty or holds NaN or infinite numbers")


def dequantize(indices: Tensor, lower: Tensor, upper: Tensor, bits: int) -> Tensor:
    """The reference values of `indices` (any shape), in the dtype of the scalars lower and upper.

    Computed in float64, in which all 2^32 indices differ.
    """
    values: Tensor = (lower.double() + indices * _step(lower, upper, bits)).to(lower.dtype)
    return values


def _step(lower: Tensor, upper: Tensor, bits: int) -> Tensor:
    step: Tensor = (upper.double() - lower.double()) / (2**bits - 1)
    return step


@torch.no_grad()
def pack(indices: Tensor, bits: int) -> Tensor:
    """Packs rows of b-bit numbers into rows of bytes.

    Args:
        indices: integers of shape (V, d), 0 to 2^b - 1.
        bits: b, 1 to 32.

    Returns:
        A uint8 tensor of shape (V, ceil(d b / 8)).

    Raises:
        ValueError: if an index does not fit in `bits` bits.
    """
    rows, dim = indices.shape
    if indices.numel() and not 0 <= indices.min().item() <= indices.max().item() < 2**bits:
        raise ValueError(f"an index does not fit in {bits} bits")
    first, shift, spans = _positions(bits, dim, indices.device)
    width = bytes_per_row(bits, dim)
    packed = torch.empty(rows, width, dtype=torch.uint8, device=indices.device)
    for out, block in zip(torch.split(packed, BLOCK), torch.split(indices, BLOCK), strict=True):
        shifted = block.long() << shift
        total = torch.zeros(len(block), width + spans, dtype=torch.int64, device=indices.device)
        for span in range(spans):  # neighbours share bytes but no bits: a sum is an or
            total.index_add_(1, first + span, (shifted >> 8 * span) & 0xFF)
        out.copy_(total[:, :width])
    return packed


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """Unpacks rows of bytes into rows of b-bit numbers: the inverse of `pack`.

    Args:
        packed: a uint8 tensor of shape (..., ceil(count b / 8)).
        bits: b, 1 to 32.
        count: d, the numbers in a row.

    Returns:
        An integer tensor of shape (..., count).
    """
    first, shift, spans = _positions(bits, count, packed.device)
    # A byte past the end of the row would only add bits that the mask removes.
    last = packed.shape[-1] - 1
    word = torch.int32 if spans < 4 else torch.int64
    total = packed[..., first].to(word)
    for span in range(1, spans):
        total = total | packed[..., (first + span).clamp(max=last)].to(word) << 8 * span
    # Called by name, because torch's ONNX exporter knows the function but not the operator >>.
    numbers: Tensor = torch.bitwise_right_shift(total, shift.to(word)) & (2**bits - 1)
    return numbers


def _positions(bits: int, count: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """For each number of a row, its first byte (count,) and the shift within that byte (count,).

    The third result is the number of bytes that a number of b bits can touch.
    """
    begin = torch.arange(count, device=device) * bits
    return begin // 8, begin % 8, (bits + 15 - gcd(bits, 8)) // 8
