"""The ranges of axes, and the text of their ticks."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullLocator

from ccompress.report.stored_runs import REFERENCE


def reductions(ax: Axes, cells: pd.DataFrame, column: str) -> None:
    """An x axis for the reductions in `column` of `cells`, in percent, that ends at 100."""
    lowest = cells.loc[cells["method"] != REFERENCE, column].min()
    left = 10 * math.floor(10 * (lowest - 0.02))
    ax.set_xlim(left, 101)
    ax.xaxis.set_major_locator(MultipleLocator(20 if left < 40 else 10))


def milliseconds(ax: Axes) -> None:
    """A logarithmic x axis whose ticks are plain numbers."""
    _logarithmic(ax, {10: (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), math.inf: (1, 2, 3, 5)})
    ax.xaxis.set_major_formatter("{x:g}")


def sizes(ax: Axes) -> None:
    """A logarithmic x axis of bytes, with ticks in kB below 1 MB and in MB above."""
    _logarithmic(ax, {5: (1, 1.5, 2, 3, 5, 7), 20: (1, 2, 3, 5), math.inf: (1, 2, 5)})
    ax.xaxis.set_major_formatter(FuncFormatter(_size))


def _logarithmic(ax: Axes, ticks: Mapping[float, Sequence[float]]) -> None:
    """Make the x axis logarithmic, with ticks at multiples of powers of ten.

    Args:
        ax: The axes.
        ticks: Largest ratio of the axis's ends -> the multiples to use up to this ratio.
    """
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ratio = min(largest for largest in ticks if high <= largest * low)
    ax.xaxis.set_major_locator(LogLocator(subs=ticks[ratio]))
    ax.xaxis.set_minor_locator(NullLocator())


def _size(count: float, _: int) -> str:
    return f"{count / 1e3:g} kB" if count < 1e6 else f"{count / 1e6:g} MB"
