"""Quantization to evenly spaced reference values, with a scale for each row.

One scale for a whole table has to reach its largest number, however rare. A scale for each row fits
the numbers of that row, and clipping the few that lie far out makes the steps between the others
finer. The embedding tables of deployed recommenders are quantized to 4 bits in this way (Guan et
al., "Post-Training 4-bit Quantization on Embedding Tables", 2019, arXiv 1911.02079).
"""

import torch
from torch import Tensor

from ccompress.numerics.packing import refuse_unusable
from ccompress.numerics.svd import BLOCK

# The parts of a row's range that are tried; numbers outside are clipped to its ends.
_PARTS = torch.linspace(1.0, 0.3, 36, dtype=torch.float64)


@torch.no_grad()
def quantize_rows(table: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Round each row to 2^b values, evenly spaced over the part of its range that fits it best.

    Index q of row i represents (lower_i + q step_i) m, where m is the largest magnitude in the
    table. The factor m keeps lower_i and step_i in the range of float16. The range of a row is
    shrunk around its middle in steps of 2 %, down to 30 %, and the range with the least squared
    error is chosen. The error is that of the stored, rounded lower_i and step_i.

    Args:
        table: The table (V, d), in any floating dtype.
        bits: b, 1 to 8.

    Returns:
        Indices of shape (V, d), uint8; `lower` and `step`, float16 of shape (V,); and m, a scalar
        in the table's dtype.

    Raises:
        InputError: The table is empty or holds NaN or infinity.
    """
    refuse_unusable(table)
    indices = torch.empty(table.shape, dtype=torch.uint8, device=table.device)
    scales = torch.empty(len(table), 2, dtype=torch.float16, device=table.device)
    largest = table.abs().max()
    unit = largest.double().where(largest > 0, 1)  # a table of zeros
    parts = zip(*(torch.split(tensor, BLOCK) for tensor in (table, indices, scales)), strict=True)
    for rows, numbers, scale in parts:
        _quantize_block(rows.double() / unit, numbers, scale, bits)
    return indices, scales[:, 0].contiguous(), scales[:, 1].contiguous(), largest


def _quantize_block(rows: Tensor, indices: Tensor, scales: Tensor, bits: int) -> None:
    """Fill `indices` (n, d) and `scales` (n, 2), lower and step, for `rows` (n, d) in float64."""
    smallest, largest = rows.aminmax(dim=1)
    middle, half = (smallest + largest) / 2, (largest - smallest) / 2
    least = torch.full_like(half, torch.inf)
    for part in _PARTS:
        lower = (middle - part * half).half()
        step = (2 * part * half / (2**bits - 1)).half()
        numbers = _nearest(rows, lower, step, bits)
        read = dequantize_rows(numbers, lower, step, torch.ones_like(least[0]))
        error = (rows - read).square().sum(1)
        better = error < least
        least[better] = error[better]
        indices[better] = numbers[better]
        scales[better] = torch.stack([lower, step], 1)[better]


def _nearest(rows: Tensor, lower: Tensor, step: Tensor, bits: int) -> Tensor:
    """The index of the reference value nearest to each number."""
    width = step.double().where(step > 0, 1).unsqueeze(1)  # with a step of 0 all values are equal
    places = (rows - lower.double().unsqueeze(1)) / width
    return places.round().clamp(0, 2**bits - 1).to(torch.uint8)


def dequantize_rows(indices: Tensor, lower: Tensor, step: Tensor, largest: Tensor) -> Tensor:
    """The values that indices represent; see `quantize_rows`.

    Args:
        indices: The indices (..., d).
        lower: The lowest value of each row (...).
        step: The distance between the values of each row (...).
        largest: m, a scalar. The values have its dtype.
    """
    low, width = (scale.to(largest.dtype).unsqueeze(-1) for scale in (lower, step))
    values: Tensor = (low + indices * width) * largest
    return values
