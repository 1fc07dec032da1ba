"""The figures of accuracy: against rate, bytes and latency. Functions of the cells alone."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MultipleLocator, NullLocator

from ccompress.report.cells import methods, panels
from ccompress.report.rows import PANEL, REFERENCE
from ccompress.report.statistics import pareto_front
from ccompress.report.style import REFERENCE_COLOUR, method_styles, panel_grid
from ccompress.report.tables import points

# An axis ends so far under the reference: a method that collapses leaves the panel, and does not
# flatten everything else.
DEEPEST = 10.0

_UNDER: dict[str, Any] = {"color": REFERENCE_COLOUR, "lw": 0.9, "ls": (0, (1, 2))}
_STAR: dict[str, Any] = {
    "color": REFERENCE_COLOUR,
    "marker": "*",
    "linestyle": "none",
    "markersize": 7,
}


def accuracy_against_rate(done: pd.DataFrame, table: pd.DataFrame, within: float) -> Figure:
    """Mean accuracy with its 95 % interval against the achieved reduction of the embedding table.

    The reference is a line with its band; a dotted line lies `within` points under it.
    """
    styles = method_styles(methods(done))

    def draw(ax: Axes, panel: pd.Series) -> None:
        here = _of(table, panel)
        for method, style in styles.items():
            run = here[(here["method"] == method) & (here["n"] > 0)].sort_values("achieved")
            ax.errorbar(
                100 * run["achieved"],
                run["accuracy"],
                yerr=_interval(run),
                elinewidth=0.8,
                capsize=1.5,
                zorder=3,
                **style.line(),
            )
        _reference(ax, here, within)
        _limit(ax, here, within)
        reduction_axis(ax, table)

    legend: list[Artist] = [
        Line2D([], [], label=name, **style.line()) for name, style in styles.items()
    ]
    legend += [Line2D([], [], color=REFERENCE_COLOUR, lw=0.9, label=f"{REFERENCE} (reference)")]
    if table.loc[table["method"] == REFERENCE, "accuracy_low"].notna().any():
        legend.append(Patch(color="0.8", lw=0, label="its 95 % interval"))
    legend.append(Line2D([], [], **_UNDER, label=f"{points(within)} under it"))
    return panel_grid(
        panels(done),
        done,
        draw,
        ("embedding bytes removed (achieved), %", "test accuracy, %"),
        legend,
    )


def accuracy_against_bytes(done: pd.DataFrame, table: pd.DataFrame, within: float) -> Figure:
    """Mean accuracy against the bytes of the embedding, with the Pareto front."""
    label = "embedding, MB (log scale)"
    return _against_cost(done, table, within, "embedding_bytes", 1e-6, label)


def accuracy_against_latency(done: pd.DataFrame, table: pd.DataFrame, within: float) -> Figure:
    """Mean accuracy against the latency of one sentence, with the Pareto front."""
    label = "latency of one sentence, ms (log scale)"
    return _against_cost(done, table, within, "latency", 1.0, label)


def _against_cost(
    done: pd.DataFrame,
    table: pd.DataFrame,
    within: float,
    cost: str,
    unit: float,
    label: str,
) -> Figure:
    styles = method_styles(methods(done))

    def draw(ax: Axes, panel: pd.Series) -> None:
        here = _of(table, panel)
        here = here[here[cost].notna() & here["accuracy"].notna()]
        front = here.iloc[pareto_front(here[cost].to_numpy(), here["accuracy"].to_numpy())]
        ax.step(unit * front[cost], front["accuracy"], where="post", color="0.45", lw=0.9)
        for method, style in styles.items():
            run = here[here["method"] == method]
            error = _interval(run)
            marks = style.points()
            ax.errorbar(unit * run[cost], run["accuracy"], error, elinewidth=0.6, **marks)
        reference = here[here["method"] == REFERENCE]
        ax.errorbar(
            unit * reference[cost], reference["accuracy"], _interval(reference), **_STAR, zorder=4
        )
        _limit(ax, here, within)
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        subs = (1, 2, 3, 5) if high > 10 * low else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
        ax.xaxis.set_major_locator(LogLocator(subs=subs))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())

    legend = [Line2D([], [], label=name, **style.points()) for name, style in styles.items()]
    legend += [
        Line2D([], [], label=f"{REFERENCE} (reference)", **_STAR),
        Line2D([], [], label="Pareto front", color="0.45", lw=0.9),
    ]
    return panel_grid(panels(done), done, draw, (label, "test accuracy, %"), legend)


def _of(table: pd.DataFrame, panel: pd.Series) -> pd.DataFrame:
    return table[(table[PANEL] == panel[PANEL]).all(axis=1)]


def _interval(run: pd.DataFrame) -> np.ndarray:
    """Half lengths of the intervals, (2, cells); none where a cell has a single seed."""
    half = (run["accuracy_high"] - run["accuracy"]).fillna(0.0).to_numpy()
    return np.vstack([half, half])


def _reference(ax: Axes, here: pd.DataFrame, within: float) -> None:
    for row in here[(here["method"] == REFERENCE) & (here["n"] > 0)].itertuples():
        ax.axhspan(row.accuracy_low, row.accuracy_high, color="0.8", lw=0, zorder=1)
        ax.axhline(row.accuracy, color=REFERENCE_COLOUR, lw=0.9, zorder=2)
        ax.axhline(row.accuracy - within, **_UNDER, zorder=2)


def reduction_axis(ax: Axes, table: pd.DataFrame) -> None:
    """Let the x axis span the achieved reductions of `table`, in percent, and end at 100."""
    lowest = table.loc[table["method"] != REFERENCE, "achieved"].min()
    left = 10 * math.floor(10 * (lowest - 0.02))
    ax.set_xlim(left, 101)
    ax.xaxis.set_major_locator(MultipleLocator(10 if left < 50 else 5))


def _limit(ax: Axes, here: pd.DataFrame, within: float) -> None:
    """The accuracies an axis spans."""
    highest = here[["accuracy", "accuracy_high"]].max(axis=None)
    lowest = here[["accuracy", "accuracy_low"]].min(axis=None)
    reference = here.loc[here["method"] == REFERENCE, "accuracy"].max()
    if not pd.isna(reference):
        lowest = max(min(lowest, reference - 1.5 * within), reference - DEEPEST)
    span = max(highest - lowest, 1.0)
    ax.set_ylim(lowest - 0.05 * span, highest + 0.05 * span)
