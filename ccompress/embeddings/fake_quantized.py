"""Low-rank factors that train through their own rounding."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.base import without_padding
from ccompress.embeddings.factorised import FactorisedEmbedding
from ccompress.embeddings.mixed_precision import (
    MixedPrecisionEmbedding,
    MixedPrecisionLowRankEmbedding,
)
from ccompress.numerics import allocation
from ccompress.numerics.allocation import STEPS
from ccompress.numerics.svd import factorize

_B_BITS = 8


class FakeQuantizedLowRankEmbedding(FactorisedEmbedding):
    """Trainable factors A (V, k) and B (k, d) that are rounded whenever they are read.

    The gradient passes the rounding as if it were not there (the straight-through estimator of
    Bengio et al. 2013), inside the range of the levels; the steps of the levels are trained too, as
    logarithms (learned step size: Esser et al. 2020). What is read in evaluation is exactly what
    `shipped` gives, so the best epoch on dev is chosen on what is shipped.

    Args:
        A: The factor (V, k).
        B: The factor (k, d).
        tier: The tier of each row (V,), never falling.
        bits: The bits of each tier's numbers in each column (T, k), 0 to 4.
        padding_idx: A row that reads as exact zeros.

    Shapes:
        indices of any shape (...) give vectors of shape (..., d).
    """

    tier: Tensor
    bits: Tensor
    _coded: Tensor
    _unit: Tensor
    _limit: Tensor

    def __init__(
        self, A: Tensor, B: Tensor, tier: Tensor, bits: Tensor, padding_idx: int | None = None
    ) -> None:
        super().__init__(len(A), B.shape[1], len(B), padding_idx)
        self.sparse = True
        self.A, self.B = nn.Parameter(A.contiguous()), nn.Parameter(B.contiguous())
        self.register_buffer("tier", tier, persistent=False)
        self.register_buffer("bits", bits, persistent=False)
        coded = (bits > 0).to(A.dtype)
        self.register_buffer("_coded", coded, persistent=False)
        unit = torch.tensor(STEPS, dtype=A.dtype, device=bits.device)
        self.register_buffer("_unit", unit[bits], persistent=False)
        self.register_buffer("_limit", ((2.0**bits - 1) / 2).to(A.dtype), persistent=False)
        column, row = _deviations(A, tier, coded)
        self.log_column_step = nn.Parameter(column.log())
        self.log_tier_step = nn.Parameter(row.log())
        largest = B.abs().amax(1).clamp_min(torch.finfo(B.dtype).tiny)
        self.log_B_step = nn.Parameter((largest / 127.5).log())

    @classmethod
    def from_table(
        cls, table: Tensor, counts: Tensor, budget: int, padding_idx: int | None = None
    ) -> "FakeQuantizedLowRankEmbedding":
        """The best rounded factors of a table (V, d) within a budget of bytes.

        Args:
            table: E, its rows in such an order that their tiers never fall.
            counts: How often each row is read (V,): frequent rows get more bits, see
                `numerics.allocation`, and weigh (mean count of their tier + 0.5)^0.5.
            budget: Bytes of what `shipped` gives.
            padding_idx: A row that reads as exact zeros.

        Raises:
            InputError: The budget leaves not even one bit of one tier, or the table holds NaN.
        """
        A, B = factorize(table, table.shape[1])
        tier, bits = _allocated(A * B.norm(dim=1), counts, budget)
        [columns] = bits.any(0).nonzero(as_tuple=True)
        return cls(A[:, columns], B[columns], tier, bits[:, columns], padding_idx)

    def read_factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of A, of shape (..., k), and B, both rounded."""
        # First, since it refuses the indices that nn.Embedding refuses.
        rows = F.embedding(indices, self.A, sparse=self.sparse)
        tier = self.tier[indices]
        step = self._steps()[tier]
        rows = _rounded(rows / step, self._limit[tier]) * step * self._coded[tier]
        B_step = self.log_B_step.exp().unsqueeze(1)
        B = _rounded(self.B / B_step, torch.full_like(B_step, 127.5)) * B_step
        return without_padding(rows, indices, self.padding_idx), B

    @torch.no_grad()
    def shipped(self) -> MixedPrecisionLowRankEmbedding:
        """What is read in evaluation, as it is shipped."""
        limit = self._limit[self.tier]
        levels = _nearest(self.A / self._steps()[self.tier], limit)
        rows = MixedPrecisionEmbedding.from_codes(
            (levels + limit).round().long(),
            self.tier,
            self.bits,
            self.log_column_step.exp(),
            self.log_tier_step.exp(),
            self.padding_idx,
        )
        B_step = self.log_B_step.exp()
        B = _nearest(self.B / B_step.unsqueeze(1), B_step.new_tensor(127.5)) + 127.5
        return MixedPrecisionLowRankEmbedding.from_parts(rows, B.round().to(torch.uint8), B_step)

    def factors(self) -> tuple[nn.Module, Tensor]:
        """See `FactorisedEmbedding`: packed rows of A, and B, rounded; they share no memory."""
        return self.shipped().factors()

    def _steps(self) -> Tensor:
        """The distance between levels of each tier and column (T, k)."""
        return (self.log_tier_step.unsqueeze(1) + self.log_column_step).exp() * self._unit


def _allocated(A: Tensor, counts: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """The tier of each row (V,), and the bits of each tier and column (T, k).

    Args:
        A: The table in orthonormal directions (V, d), strongest first.
        counts: How often each row is read (V,).
        budget: Bytes.
    """
    seen = counts.cpu().numpy()
    tier = allocation.tiers(seen)
    sizes = np.bincount(tier, minlength=allocation.TIERS)
    rows = np.maximum(sizes, 1)
    energy = np.zeros((allocation.TIERS, A.shape[1]))
    np.add.at(energy, tier, A.double().square().cpu().numpy())
    mean = np.bincount(tier, seen + 0.5, minlength=allocation.TIERS) / rows
    bits = allocation.allocate(energy / rows[:, None], mean**0.5, sizes.tolist(), budget)
    return torch.from_numpy(tier).to(A.device), torch.from_numpy(bits).to(A.device)


def _deviations(A: Tensor, tier: Tensor, coded: Tensor) -> tuple[Tensor, Tensor]:
    """Of A (V, k), each column's root mean square (k,) and each tier's relative to it (T,)."""
    tiny = torch.finfo(A.dtype).tiny
    rows = torch.bincount(tier, minlength=len(coded))
    # Tiers are runs of rows; adding a row at a time by its tier, a GPU would not repeat its sums.
    sums = torch.segment_reduce(A.square(), "sum", lengths=rows, unsafe=True)
    squares = sums / rows.clamp(min=1).unsqueeze(1)
    column = A.square().mean(0).clamp_min(tiny)
    relative = (squares / column * coded).sum(1) / coded.sum(1).clamp(min=1)
    return column.sqrt(), relative.clamp_min(1e-6).sqrt()


def _nearest(numbers: Tensor, limit: Tensor) -> Tensor:
    """The nearest of the levels -limit, 1 - limit, ..., limit."""
    return torch.minimum(torch.maximum(numbers.floor() + 0.5, -limit), limit)


def _rounded(numbers: Tensor, limit: Tensor) -> Tensor:
    """As `_nearest`; the gradient passes inside the range of the levels, and stops outside."""
    # Half a step beyond the last level still belongs to it.
    inside = torch.minimum(torch.maximum(numbers, -limit - 0.5), limit + 0.5)
    return inside + (_nearest(inside, limit) - inside).detach()
