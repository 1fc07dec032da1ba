"""Learning rates as functions of the step. The torch scheduler is `ccompress.CALR`."""

from ccompress.schedules.functions import CALRSchedule, CLRSchedule, FixedSchedule, calr, clr

__all__ = [
    "CALRSchedule",
    "CLRSchedule",
    "FixedSchedule",
    "calr",
    "clr",
]
