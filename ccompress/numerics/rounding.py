"""Rounding of a layer's weights to few bits, with a step for each row.

The numbers of a row become whole multiples, -L to L, of the row's step, with L = 2^(b-1) - 1. The
step is the row's largest magnitude divided by L, rounded to bfloat16. Since a step has 8
significant bits and a multiple at most 7, their product is exact in float32. So rounded numbers
stay as they are, to the last bit, when they are rounded again.
"""

import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Rounded rows.

    Attributes:
        multiples: Whole numbers in float32, with the shape of the weights.
        steps: The step of each row (rows,), in float32 with 8 significant bits.
    """

    multiples: Tensor
    steps: Tensor

    def values(self) -> Tensor:
        """The rounded numbers, multiples times steps."""
        return self.multiples * _aligned(self.steps, self.multiples)


def round_rows(weights: Tensor, bits: int) -> Rows:
    """Round weights of shape (rows, ...) to `bits` bits, 2 to 8."""
    largest = 2 ** (bits - 1) - 1
    steps = (weights.abs().flatten(1).amax(1) / largest).bfloat16().float()
    divisor = _aligned(steps.where(steps > 0, 1), weights)
    return Rows((weights / divisor).round().clamp(-largest, largest), steps)


def _aligned(steps: Tensor, weights: Tensor) -> Tensor:
    """Steps (rows,) with as many dimensions as the weights (rows, ...)."""
    return steps.reshape(-1, *[1] * (weights.dim() - 1))


def packed(rows: Rows) -> tuple[Tensor, Tensor]:
    """Rows in their stored form.

    Some multiples are much more frequent than others. For clinc150's network, the Huffman code of
    zlib needs 7.4 instead of 8 bits per number, and 3.2 instead of 4.

    Returns:
        A raw deflate stream of the multiples, one signed byte each, as uint8 (bytes,); and the
        steps as int16 (rows,), see `halves`.
    """
    code = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    numbers = rows.multiples.to(torch.int8).cpu().numpy().tobytes()
    stream = code.compress(numbers) + code.flush()
    return torch.frombuffer(bytearray(stream), dtype=torch.uint8), halves(rows.steps)


def most_bytes(numbers: int, bits: int) -> int:
    """A bound of the bytes of the stream of `packed`.

    The Huffman code of a block, of at least 2^14 numbers but for the last, takes at most as many
    bits as a code of equal lengths, and less than 80 bytes for its table.
    """
    return -(-numbers * bits // 8) + 80 * (1 + numbers // 2**14)


def unpacked(stream: Tensor, steps: Tensor, shape: torch.Size) -> Tensor:
    """The weights that `packed` stored, in the given shape.

    Raises:
        ValueError: The stream is damaged, or the stream or the steps do not fit the shape.
    """
    try:
        numbers = zlib.decompress(stream.numpy().tobytes(), -zlib.MAX_WBITS)
    except zlib.error as error:
        raise ValueError(f"weights of shape {tuple(shape)}: {error}") from error
    if len(numbers) != shape.numel() or steps.shape != shape[:1]:
        raise ValueError(f"size mismatch: {len(numbers)} numbers for weights of {tuple(shape)}")
    multiples = torch.frombuffer(bytearray(numbers), dtype=torch.int8)
    return Rows(multiples.float().reshape(shape), whole(steps)).values()


def halves(numbers: Tensor) -> Tensor:
    """The nearest bfloat16 of each number, as int16 with the same bits; numpy lacks bfloat16."""
    return numbers.bfloat16().view(torch.int16)


def whole(stored: Tensor) -> Tensor:
    """The inverse of `halves`, in float32."""
    return stored.view(torch.bfloat16).float()


class _ThroughRounding(torch.autograd.Function):
    """Rounds weights, and passes the gradient as if they were not rounded (Bengio et al. 2013)."""

    @staticmethod
    def forward(_: Any, weights: Tensor, bits: int) -> Tensor:
        return rounded(weights, bits)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def through_rounding(tensor: Tensor, bits: int) -> Tensor:
    """The same as `rounded`, but the gradient passes as if nothing were rounded."""
    result: Tensor = _ThroughRounding.apply(tensor, bits)  # type: ignore[no-untyped-call]
    return result


def rounded(tensor: Tensor, bits: int) -> Tensor:
    """A layer's tensor as it is shipped: a vector in bfloat16, others in `bits` bits per number."""
    return tensor.bfloat16().float() if tensor.dim() < 2 else round_rows(tensor, bits).values()
