"""The cyclically annealed learning rate as a torch scheduler, for any training loop."""

import operator
from collections.abc import Iterable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ccompress.errors import InputError
from ccompress.schedules.functions import calr, check_bounds, check_decay


class CALR(LRScheduler):
    """Cyclically annealed learning rate (Acharya et al. 2019, arXiv 1811.00641).

    Each cycle rises linearly from `lower` to its peak in `step_size` calls of `step()` and falls
    back in as many. Each peak is `decay` times the previous one. When the next peak would not be
    above `lower`, the peak returns to `upper`. Call `step()` after each batch. The optimizer's own
    learning rate is ignored.

    Args:
        optimizer: whose learning rates to set.
        lower: the learning rate at which cycles begin and end; a sequence gives one for each
            parameter group.
        upper: the highest peak; a number or a sequence likewise.
        step_size: half a cycle, in calls of `step()`.
        decay: each peak as a fraction of the one before.
        last_epoch: the number of steps already taken less one, -1 to begin.

    Raises:
        InputError: unless 0 < lower < upper in every group, 0 < decay < 1, step_size >= 1, and
            sequences are as long as there are parameter groups.

    Example:
        >>> import torch, ccompress
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
        >>> scheduler = ccompress.CALR(optimizer, lower=0.1, upper=1.0, step_size=1, decay=0.5)
        >>> rates = []
        >>> for _ in range(10):
        ...     optimizer.step()
        ...     rates.append(round(scheduler.get_last_lr()[0], 3))
        ...     scheduler.step()
        >>> rates  # four peaks, then pumped back up
        [0.1, 1.0, 0.1, 0.5, 0.1, 0.25, 0.1, 0.125, 0.1, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lower: float | Iterable[float],
        upper: float | Iterable[float],
        step_size: int,
        decay: float = 0.7,
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lower = _per_group("lower", lower, groups)
        self.upper = _per_group("upper", upper, groups)
        for bounds in zip(self.lower, self.upper, strict=True):
            check_bounds(*bounds)
        check_decay(decay)
        # torch.load(weights_only=True) reads plain numbers back, but not numpy's.
        self.step_size = _whole_number(step_size)
        self.decay = float(decay)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The learning rate of each parameter group at the present step, in closed form."""
        groups = len(self.optimizer.param_groups)
        if groups != len(self.lower):
            raise InputError(
                f"the optimizer has {groups} parameter groups and CALR was made for "
                f"{len(self.lower)}: make it after the last group is added"
            )
        return [
            calr(self.last_epoch, lower, upper, self.step_size, self.decay)
            for lower, upper in zip(self.lower, self.upper, strict=True)
        ]


def _whole_number(step_size: int) -> int:
    try:
        steps = operator.index(step_size)
    except TypeError:
        steps = 0
    if steps < 1:
        raise InputError(f"step_size={step_size} of CALR: give a whole number of steps, above 0")
    return steps


def _per_group(name: str, value: float | Iterable[float], groups: int) -> list[float]:
    bounds = value if isinstance(value, Iterable) else [value] * groups
    values = [float(one) for one in bounds]
    if len(values) != groups:
        raise InputError(
            f"{name} of CALR has {len(values)} values: give one, or one for each of the "
            f"optimizer's {groups} parameter groups"
        )
    return values
