"""Learning rates as functions of the step: fixed, CLR (Smith 2017) and CALR (Acharya et al. 2019).

Steps count optimizer updates from 0. This module imports no torch; `ccompress.CALR` is the same
CALR as a torch scheduler for any training loop.
"""

from dataclasses import dataclass
from math import ceil, log

from ccompress.errors import InputError


def clr(step: int, lower: float, upper: float, half_cycle: int) -> float:
    """The triangular cyclical learning rate (Smith 2017, arXiv 1506.01186, section 3.1).

    It rises linearly from `lower` to `upper` in `half_cycle` steps, falls back in as many, and
    repeats.
    """
    position = step % (2 * half_cycle)
    height = 1 - abs(position / half_cycle - 1)
    return lower + (upper - lower) * height


def calr(step: int, lower: float, upper: float, half_cycle: int, decay: float) -> float:
    """The cyclically annealed learning rate (Acharya et al. 2019, arXiv 1811.00641).

    This is the triangle of `clr` with a peak of upper * decay**(c mod n) in cycle c. Each peak is
    lower than the last one. When the next peak would not be above `lower`, it returns to `upper`.
    """
    cycle = step // (2 * half_cycle)
    peak = upper * decay ** (cycle % annealed_cycles(lower, upper, decay))
    return clr(step, lower, peak, half_cycle)


def annealed_cycles(lower: float, upper: float, decay: float) -> int:
    """The number n of cycles from one highest peak to the next: upper * decay**n <= lower."""
    # Rounding can put log(lower/upper) / log(decay) just above a whole number.
    return max(1, ceil(log(lower / upper) / log(decay) - 1e-9))


def check_bounds(lower: float, upper: float) -> None:
    """Raises InputError unless 0 < lower < upper, finite."""
    if not 0 < lower < upper < float("inf"):
        raise InputError(f"learning rates lower={lower}, upper={upper}: give 0 < lower < upper")


def check_decay(decay: float) -> None:
    """Raises InputError unless 0 < decay < 1."""
    if not 0 < decay < 1:
        raise InputError(f"decay={decay} of the schedule calr: give 0 < decay < 1")


@dataclass(frozen=True, kw_only=True)
class FixedSchedule:
    """A constant learning rate.

    Attributes:
        upper: the learning rate.
    """

    upper: float

    def __post_init__(self) -> None:
        if not 0 < self.upper < float("inf"):
            raise InputError(f"learning rate upper={self.upper}: give upper > 0")

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""
        return self.upper


@dataclass(frozen=True, kw_only=True)
class CLRSchedule:
    """The triangular cyclical learning rate: see `clr`.

    Attributes:
        lower: the learning rate at which each cycle begins and ends.
        upper: the learning rate in its middle.
        step_size: half a cycle, in epochs.
    """

    lower: float
    upper: float
    step_size: float

    def __post_init__(self) -> None:
        check_bounds(self.lower, self.upper)
        if not 0 < self.step_size < float("inf"):
            raise InputError(f"step_size={self.step_size}: give a number of epochs above 0")

    def half_cycle(self, steps_per_epoch: int) -> int:
        """Half a cycle in steps: `step_size` epochs, rounded, at least one step."""
        return max(1, round(self.step_size * steps_per_epoch))

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""
        return clr(step, self.lower, self.upper, self.half_cycle(steps_per_epoch))


@dataclass(frozen=True, kw_only=True)
class CALRSchedule(CLRSchedule):
    """The cyclically annealed learning rate: see `calr`.

    Attributes:
        lower: the learning rate at which each cycle begins and ends.
        upper: the highest peak.
        step_size: half a cycle, in epochs.
        decay: each peak as a fraction of the one before.
    """

    decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_decay(self.decay)

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""
        return calr(step, self.lower, self.upper, self.half_cycle(steps_per_epoch), self.decay)
