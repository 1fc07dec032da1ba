"""The look of figures: one style per method, sizes for print, a grid of panels with a legend."""

import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ccompress.report.aggregation import KNOWN_METHODS
from ccompress.report.lettering import one_line
from ccompress.report.provenance import shown_name, vectors_of

# The colours of Okabe and Ito (2008), which colour-blind readers can distinguish. Their yellow is
# too pale for a line on paper, so the wine red of Tol (2021) replaces it. Markers and dashes
# distinguish the methods without colours.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p"]
_DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (8, 2))]
REFERENCE_COLOUR = "#000000"
# The line of the baseline without embeddings.
LINEAR: dict[str, Any] = {
    "color": "0.45",
    "marker": "s",
    "markersize": 3.0,
    "linestyle": (0, (4, 1.5)),
}

_PRINT: Any = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.handlelength": 3.0,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "savefig.dpi": 200,
    # The same rows give the same file, byte for byte, so that a committed figure changes with them.
    "svg.hashsalt": "ccompress",
}
_PANEL_SIZE = (3.5, 1.75)  # inches; two columns fill the width of a printed page
_PAIR_WIDTH = 4.4  # the width, in inches, of a panel with two x axes
_TITLE = 46  # characters per line of a panel's heading
_HEADING = 3 * _TITLE  # characters of a whole heading
_LEGEND_HEIGHT = 0.62  # inches, for legend and axis label together


@contextmanager
def printing() -> Iterator[None]:
    """Apply the settings of all figures while one is drawn and saved."""
    with matplotlib.rc_context(_PRINT):
        yield


@dataclass(frozen=True)
class MethodStyle:
    """Colour, marker (filled or hollow) and dashes of one method."""

    colour: str
    marker: str
    filled: bool
    dashes: Any

    def line(self) -> dict[str, Any]:
        """Arguments for a line with markers."""
        return {**self.points(), "linestyle": self.dashes}

    def points(self) -> dict[str, Any]:
        """Arguments for markers without a line."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markerfacecolor": self.colour if self.filled else "white",
            "linestyle": "none",
        }


def method_styles(methods: Sequence[str]) -> dict[str, MethodStyle]:
    """A style for each of `methods`: always the same for a known one.

    Any other takes the style of the method that it is a variant of, or else one that is free, in a
    colour of its own as long as there are any.
    """
    places = {name: KNOWN_METHODS.index(name) for name in methods if name in KNOWN_METHODS}
    first = len(KNOWN_METHODS)
    for name in methods:
        if name in places:
            continue
        others = range(first, first + len(COLOURS) + len(methods))
        variant_of = [i for i, known in enumerate(KNOWN_METHODS) if name.startswith(f"{known},")]
        free = [i for i in (*variant_of, *others) if i not in places.values()]
        colours = {i % len(COLOURS) for i in places.values()}
        places[name] = next((i for i in free if i % len(COLOURS) not in colours), free[0])
    return {name: _style(places[name]) for name in methods}


def _style(i: int) -> MethodStyle:
    return MethodStyle(
        colour=COLOURS[i % len(COLOURS)],
        marker=_MARKERS[i % len(_MARKERS)],
        filled=i % 2 == 0,
        dashes=_DASHES[i % len(_DASHES)],
    )


def rows_of(table: pd.DataFrame, panel: pd.Series) -> pd.DataFrame:
    """The rows of a table that belong to a panel."""
    return table[(table[list(panel.index)] == panel).all(axis=1)]


def panel_grid(
    panels: pd.DataFrame,
    done: pd.DataFrame,
    draws: Mapping[str, Callable[[Axes, pd.Series], None]],
    label: str,
    legend: Sequence[Artist],
) -> Figure:
    """A figure with one panel per row of `panels` and one legend; networks are side by side.

    A panel has one x axis, or several that share a y axis.

    Args:
        panels: The columns data, network and schedule, and others that distinguish panels.
        done: The finished runs.
        draws: Label of an x axis -> function that draws on the axes, from the panel's row.
        label: The label of all y axes.
        legend: The entries of the legend.
    """
    across = panels["network"].nunique()
    # One row per data set, if all of them were run with every network.
    complete = len(panels) == across * len(panels.drop(columns="network").drop_duplicates())
    columns = across if across > 1 and complete else min(2, len(panels))
    rows = -(-len(panels) // columns)
    by = [name for name in panels if name != "network"]
    ordered = pd.concat([group for _, group in panels.groupby(by, sort=False)])
    legend_columns = 2 if columns == 1 else min(len(legend), 3)
    legend_rows = -(-len(legend) // legend_columns)
    width = columns * (_PANEL_SIZE[0] if len(draws) == 1 else _PAIR_WIDTH)
    height = _PANEL_SIZE[1] * rows + _LEGEND_HEIGHT + 0.16 * legend_rows
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns * len(draws), squeeze=False)
    axes = grid.reshape(rows * columns, len(draws)).tolist()
    for place, (beside, (_, panel)) in enumerate(zip(axes, ordered.iterrows(), strict=False)):
        _head(beside, panel, panels, one_line(vectors_of(done, panel["data"])))
        for ax, (name, draw) in zip(beside, draws.items(), strict=True):
            draw(ax, panel)
            if ax is not beside[0]:
                ax.tick_params(labelleft=False)
            if len(draws) > 1 and place + columns >= len(panels):
                ax.set_xlabel(name)
    for ax in itertools.chain(*axes[len(panels) :]):
        ax.set_visible(False)
    if len(draws) == 1:
        figure.supxlabel(*draws, fontsize=8.5)
    figure.supylabel(label, fontsize=8.5)
    figure.legend(handles=legend, loc="outside upper center", ncols=legend_columns, frameon=False)
    return figure


def _head(axes: Sequence[Axes], panel: pd.Series, panels: pd.DataFrame, vectors: str) -> None:
    """Write a panel's heading: data set, network, and what else differs between panels."""
    others = [name for name in panel.index if name not in ("data", "network")]
    differing = [panel[name] for name in others if panels[name].nunique() > 1]
    words = one_line(", ".join([shown_name(panel["data"]), panel["network"], *differing]), _HEADING)
    heading = textwrap.fill(words, _TITLE)
    # The vectors are beside the heading if there is room, and otherwise on the line below it.
    alone = len(heading) + len(vectors) > _TITLE
    axes[0].set_title(heading + "\n" * alone, loc="left")
    axes[-1].set_title(vectors, loc="right", fontsize=6.5, color="0.35")
