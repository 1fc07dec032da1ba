"""The figures of accuracy against rate, bytes and latency, made from runs and cells."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ccompress.report import axes, linear_baseline
from ccompress.report.aggregation import CELL, methods, panels, shipped
from ccompress.report.lettering import one_line
from ccompress.report.statistics import MIN_SEEDS, pareto_front
from ccompress.report.stored_runs import PANEL, REFERENCE
from ccompress.report.style import LINEAR, REFERENCE_COLOUR, method_styles, panel_grid, rows_of
from ccompress.report.tables import points

# The y axis ends this many points under the reference. So a method that collapses leaves the panel
# and does not flatten everything else.
DEEPEST = 10.0
# No y axis shows fewer points, so that equal accuracies do not look different.
_NARROWEST = 1.5

# The share of the bytes that is removed: its column in a table of cells, and in one of runs.
_OF_RUNS = {"achieved": "achieved_reduction", "folded_reduction": "folded_reduction"}

_REFERENCE_LABEL = f"{REFERENCE} (reference)"
_UNDER: dict[str, Any] = {"color": REFERENCE_COLOUR, "lw": 0.9, "ls": (0, (1, 2))}
_SEED: dict[str, Any] = {"markersize": 2.5, "alpha": 0.7}
_STAR: dict[str, Any] = {
    "color": REFERENCE_COLOUR,
    "marker": "*",
    "linestyle": "none",
    "markersize": 7,
}


def accuracy_against_rate(done: pd.DataFrame, cells: pd.DataFrame, within: float) -> Figure:
    """Mean accuracy with its 95 % interval against the share of bytes that is removed.

    The left side shows the share of the embedding table, and the right side that of the deployed
    (folded) network, if it was recorded. The reference is a line with its interval as a band; a
    dotted line is `within` points under it. A cell with too few seeds for an interval shows each
    seed as a point.
    """
    styles = method_styles(methods(done))

    def draw(ax: Axes, panel: pd.Series, removed: str) -> None:
        shown, seeds = rows_of(cells, panel), _alone(rows_of(done, panel))
        low, high = _limits(shown, within, seeds["test_accuracy"])
        ax.set_ylim(low, high)
        leaving = []
        for method, style in styles.items():
            run = shown[(shown["method"] == method) & shown[removed].notna()].sort_values(removed)
            x, y = 100 * run[removed].to_numpy(), run["accuracy"].to_numpy()
            bars = _interval(run, low)
            ax.errorbar(x, y, bars, elinewidth=0.8, capsize=1.5, zorder=3, **style.line())
            few = seeds[seeds["method"] == method]
            if not few.empty:
                marks = style.points() | _SEED
                ax.plot(100 * few[_OF_RUNS[removed]], few["test_accuracy"], **marks)
            if (y < low).any():
                _arrows(ax, [_crossing(x, y, low)], low, style.colour)
                # Only the left side names the method; there is no room on the right.
                name = f"{one_line(method, 30)}: " if removed == "achieved" else ""
                leaving.append((f"{name}{y.min():.0f} %", style.colour))
        _reference(ax, shown, within)
        _tell_leaving(ax, leaving)
        axes.reductions(ax, cells, removed)

    legend: list[Artist] = [
        Line2D([], [], label=one_line(name), **style.line()) for name, style in styles.items()
    ]
    reference = cells[cells["method"] == REFERENCE]
    if not reference.empty:
        legend.append(Line2D([], [], color=REFERENCE_COLOUR, lw=0.9, label=_REFERENCE_LABEL))
        if reference["accuracy_low"].notna().any():
            legend.append(Patch(color="0.8", lw=0, label="its 95 % interval"))
        legend.append(Line2D([], [], **_UNDER, label=f"{points(within)} under it"))
    if not _alone(done).empty:
        legend.append(Line2D([], [], color="0.3", marker="o", ls="none", label="one seed", **_SEED))
    compressed = cells[cells["method"] != REFERENCE]
    draws = {
        label: functools.partial(draw, removed=removed)
        for label, removed in (
            ("bytes removed of the table, %", "achieved"),
            ("of the network as deployed, %", "folded_reduction"),
        )
        if compressed[removed].notna().any()
    }
    return panel_grid(panels(done), done, draws, "test accuracy, %", legend)


def accuracy_against_bytes(
    done: pd.DataFrame,
    cells: pd.DataFrame,
    within: float,
    baselines: pd.DataFrame | None = None,
) -> Figure:
    """Mean accuracy against the bytes that ship (`aggregation.shipped`), with the Pareto front.

    The baselines of a panel's data set (`linear_baseline.read`) are a line at the bytes of their
    whole files.
    """
    column, _ = shipped(cells)
    cells = cells.assign(cost=cells[column])
    what = "model file" if column == "file_bytes" else "network as deployed"
    label = f"{what} (log scale)"
    if baselines is not None:
        baselines = baselines.assign(cost=baselines["file_bytes"])
    return _against_cost(done, panels(done), cells, within, label, axes.sizes, baselines)


def accuracy_against_latency(
    done: pd.DataFrame, cells: pd.DataFrame, measured: pd.DataFrame, within: float
) -> Figure:
    """Mean accuracy against the latency of one sentence, with the Pareto front.

    Each device has its own panels, since latencies of different devices cannot be compared.
    """
    cells = cells.merge(measured, on=CELL).assign(cost=lambda table: table["latency"])
    of_devices = cells[[*PANEL, "device"]].drop_duplicates()
    label = "latency of one sentence, ms (log scale)"
    return _against_cost(done, of_devices, cells, within, label, axes.milliseconds)


def _against_cost(
    done: pd.DataFrame,
    drawn: pd.DataFrame,
    cells: pd.DataFrame,
    within: float,
    label: str,
    scale: Callable[[Axes], None],
    baselines: pd.DataFrame | None = None,
) -> Figure:
    """Mean accuracy against the column `cost` of `cells`, with one panel per row of `drawn`.

    `baselines`, if given, have that column too, and are a line in each panel of their data set.
    """
    styles = method_styles(methods(done))
    cells = cells[cells["cost"].notna()]

    def draw(ax: Axes, panel: pd.Series) -> None:
        shown = rows_of(cells, panel)
        low, high = _limits(shown, within)
        ax.set_ylim(low, high)
        front = shown.iloc[pareto_front(shown["cost"].to_numpy(), shown["accuracy"].to_numpy())]
        front = front[front["accuracy"] >= low]
        ax.step(front["cost"], front["accuracy"], where="post", color="0.45", lw=0.9)
        for method, style in styles.items():
            run = shown[shown["method"] == method]
            marks = style.points()
            bars = _interval(run, low)
            ax.errorbar(run["cost"], run["accuracy"], bars, elinewidth=0.6, **marks)
            _arrows(ax, run.loc[run["accuracy"] < low, "cost"], low, style.colour)
        reference = shown[shown["method"] == REFERENCE]
        bars = _interval(reference, low)
        ax.errorbar(reference["cost"], reference["accuracy"], bars, **_STAR, zorder=4)
        if baselines is not None:
            line = baselines[baselines["data"] == panel["data"]]
            line = line[line["test_accuracy"] >= low]
            if not line.empty:
                ax.plot(line["cost"], line["test_accuracy"], **LINEAR)
        scale(ax)

    legend = [Line2D([], [], label=one_line(name), **s.points()) for name, s in styles.items()]
    legend += [
        Line2D([], [], label=_REFERENCE_LABEL, **_STAR),
        Line2D([], [], label="Pareto front", color="0.45", lw=0.9),
    ]
    if baselines is not None and not baselines.empty:
        legend.append(Line2D([], [], label=linear_baseline.LABEL, **LINEAR))
    of_panels = [rows_of(cells, panel) for _, panel in drawn.iterrows()]
    if any(shown["accuracy"].min() < _limits(shown, within)[0] for shown in of_panels):
        arrow: dict[str, Any] = {"color": "0.45", "marker": 7, "linestyle": "none"}
        legend.append(Line2D([], [], label="lies under the panel", **arrow))
    return panel_grid(drawn, done, {label: draw}, "test accuracy, %", legend)


def has_arrows(cells: pd.DataFrame, within: float) -> bool:
    """Whether a line of `accuracy_against_rate` leaves its panel."""
    lowest = (
        (panel["accuracy"].min(), _limits(panel, within)[0]) for _, panel in cells.groupby(PANEL)
    )
    return any(accuracy < low for accuracy, low in lowest)


def _alone(done: pd.DataFrame) -> pd.DataFrame:
    """The compressed runs of cells with several seeds, but too few for an interval."""
    seeds = done.groupby([*PANEL, "method", "rate"])["seed"].transform("size")
    return done[(done["method"] != REFERENCE) & (seeds > 1) & (seeds < MIN_SEEDS)]


def _interval(run: pd.DataFrame, lowest: float) -> np.ndarray:
    """The lengths of the intervals below and above the means (2, cells); nan without an interval.

    A mean below the panel has none, since a bar without its point would be meaningless.

    Args:
        run: The cells of one method.
        lowest: The lowest accuracy that the panel shows.
    """
    run = run.assign(accuracy=run["accuracy"].where(run["accuracy"] >= lowest))
    low, high = run["accuracy"] - run["accuracy_low"], run["accuracy_high"] - run["accuracy"]
    return np.vstack([low.to_numpy(), high.to_numpy()])


def _reference(ax: Axes, shown: pd.DataFrame, within: float) -> None:
    for row in shown[shown["method"] == REFERENCE].itertuples():
        ax.axhspan(row.accuracy_low, row.accuracy_high, color="0.8", lw=0, zorder=1)
        ax.axhline(row.accuracy, color=REFERENCE_COLOUR, lw=0.9, zorder=2)
        ax.axhline(row.accuracy - within, **_UNDER, zorder=2)


def _crossing(x: np.ndarray, y: np.ndarray, low: float) -> float:
    """The x at which the line through (x, y) first falls below `low`; its start if it is below."""
    under = int(np.argmax(y < low))
    if under == 0:
        return float(x[0])
    before, after = y[under - 1], y[under]
    share = (before - low) / (before - after)
    return float(x[under - 1] + share * (x[under] - x[under - 1]))


def _arrows(ax: Axes, x: Sequence[float] | pd.Series, low: float, colour: str) -> None:
    """Arrows at the lower edge, where a line continues below the panel."""
    style: dict[str, Any] = {"marker": 7, "color": colour, "linestyle": "none", "zorder": 4}
    (line,) = ax.plot(x, [low] * len(x), clip_on=False, **style)
    line.set_in_layout(False)


def _tell_leaving(ax: Axes, leaving: list[tuple[str, str]]) -> None:
    """Name at the bottom left what continues below the panel, in its colour.

    Lines leave the panel on the right, at high rates, so the text does not cover them.
    """
    for line, (text, colour) in enumerate(reversed(leaving)):
        ax.annotate(
            f"↓ {text}",
            (0, 0),
            xycoords="axes fraction",
            xytext=(3, 3 + 8 * line),
            textcoords="offset points",
            fontsize=6.5,
            color=colour,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            zorder=5,
        )


def _limits(
    shown: pd.DataFrame, within: float, seeds: Sequence[float] | pd.Series = ()
) -> tuple[float, float]:
    """The lowest and the highest accuracy of a panel's y axis.

    Args:
        shown: The cells of the panel.
        within: The drop, in points, that the dotted line shows.
        seeds: The accuracies of runs that are drawn as points.
    """
    lowest = min([shown[["accuracy", "accuracy_low"]].min(axis=None), *seeds])
    reference = shown.loc[shown["method"] == REFERENCE, "accuracy"].max()
    if not pd.isna(reference):
        lowest = max(min(lowest, reference - 1.5 * within), reference - DEEPEST)
    inside = shown[shown["accuracy"] >= lowest]
    highest = max([inside[["accuracy", "accuracy_high"]].max(axis=None), *seeds])
    if shown["accuracy"].nunique() == 1:
        highest += shown["accuracy"].iloc[0] - lowest  # equal accuracies lie in the middle
    room = max(_NARROWEST - (highest - lowest), 0.0) / 2
    lowest, highest = lowest - room, highest + room
    span = highest - lowest
    # There is room for the whole marker at 100 %, but for no tick above it.
    return lowest - 0.05 * span, min(highest + 0.05 * span, 100 + 0.02 * span)
