"""The singular values of embedding tables, from an experiment's spectra.csv.

The file has one row per singular value, with the columns dataset, network, schedule, seed, stage
("before" or "after" training), index (from 0, the largest value first) and singular_value.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ccompress.errors import InputError
from ccompress.report import axes
from ccompress.report.aggregation import CELL, methods
from ccompress.report.stored_runs import PANEL
from ccompress.report.style import panel_grid, rows_of
from ccompress.report.tables import Table, number, percent, title

_COLUMNS = ["run_id", "stage", "index", "singular_value"]
_STAGES: dict[str, dict[str, Any]] = {
    "before": {"color": "#E69F00", "linestyle": (0, (4, 1.5)), "marker": "s"},
    "after": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
}
_MARKED = (0.5, 0.75, 0.9, 0.95)  # rates whose rank the figure marks, if they were run


def read(path: Path, done: pd.DataFrame) -> pd.DataFrame:
    """Read spectra.csv and average over the seeds that it holds.

    Returns:
        One row per panel, stage and index, sorted, with the mean `singular_value` and the number of
        `seeds`. Spectra of runs that are not in `done` are left out.

    Raises:
        InputError: A column is missing, or a stage is neither "before" nor "after".
    """
    rows = pd.read_csv(path, encoding="utf-8", dtype={"run_id": str})
    if missing := [name for name in _COLUMNS if name not in rows]:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}")
    if unknown := set(rows["stage"]) - set(_STAGES):
        raise InputError(f"{path}: stage {unknown.pop()!r} is neither 'before' nor 'after'")
    values = rows.merge(done[["run_id", *PANEL]], on="run_id").groupby([*PANEL, "stage", "index"])
    return values["singular_value"].agg(singular_value="mean", seeds="size").reset_index()


def energy(singular_values: npt.NDArray[np.float64], rank: int) -> float:
    """The share of a table's squared Frobenius norm that its best rank-k approximation keeps.

    The relative error of this approximation, ||E - E_k|| / ||E||, is sqrt(1 - energy) (Eckart and
    Young 1936).

    Args:
        singular_values: All singular values of the table, the largest first.
        rank: The rank k.
    """
    squares = np.square(singular_values)
    return float(squares[:rank].sum() / squares.sum())


def kept(spectra: pd.DataFrame, done: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The energy and the relative error at the rank of each rate, before and after training.

    The ranks are those of the first method that has ranks. The columns are the panel, `method`,
    `rate`, `achieved`, `rank`, `stage`, `energy` and `error`.
    """
    ranked = cells[cells["rank"].notna()]
    if ranked.empty:
        return pd.DataFrame()
    first = next(method for method in methods(done) if method in set(ranked["method"]))
    lines = []
    for row in ranked[ranked["method"] == first].itertuples():
        for stage in _STAGES:
            values = _values(spectra, (row.data, row.network, row.schedule), stage)
            if len(values):
                share = energy(values, int(row.rank))
                measured = (row.rank, stage, share, float(np.sqrt(1 - share)))
                lines.append((*(getattr(row, name) for name in [*CELL, "achieved"]), *measured))
    return pd.DataFrame(lines, columns=[*CELL, "achieved", "rank", "stage", "energy", "error"])


def _values(spectra: pd.DataFrame, panel: tuple[str, ...], stage: str) -> npt.NDArray[np.float64]:
    """The singular values of one panel and stage; empty if there are none."""
    of_panel = (spectra[PANEL] == list(panel)).all(axis=1)
    values = spectra[of_panel & (spectra["stage"] == stage)]
    return np.asarray(values["singular_value"], dtype=np.float64)


def spectrum_figure(spectra: pd.DataFrame, done: pd.DataFrame, energies: pd.DataFrame) -> Figure:
    """Singular values before and after training, with thin lines at the ranks of some rates."""

    def draw(ax: Axes, panel: pd.Series) -> None:
        for stage, style in _STAGES.items():
            values = _values(spectra, tuple(panel[PANEL]), stage)
            line = {**style, "marker": ""}
            ax.plot(np.arange(1, len(values) + 1), values, label=stage, **line)
        ax.set_yscale("log")
        ax.set_xlim(left=0)
        ranks = rows_of(energies[energies["stage"] == "after"], panel)
        for row in ranks[ranks["rate"].isin(_MARKED)].itertuples():
            ax.axvline(row.rank, color="0.5", lw=0.7)
            ax.annotate(
                f"{percent(row.rate)}",
                (row.rank, 1.0),
                xycoords=ax.get_xaxis_transform(),
                xytext=(1.5, -1),
                textcoords="offset points",
                fontsize=6.5,
                color="0.35",
                va="top",
                rotation="vertical",
            )

    draws = {"index of the singular value": draw}
    return panel_grid(_drawn(energies), done, draws, "singular value", _legend())


def error_figure(done: pd.DataFrame, energies: pd.DataFrame) -> Figure:
    """The relative error of the best approximation against the achieved reduction."""

    def draw(ax: Axes, panel: pd.Series) -> None:
        errors = rows_of(energies, panel)
        for stage, style in _STAGES.items():
            run = errors[errors["stage"] == stage].sort_values("achieved")
            ax.plot(100 * run["achieved"], 100 * run["error"], **style)
        ax.set_ylim(0, 100)
        axes.reductions(ax, energies, "achieved")

    draws = {"bytes removed of the table, %": draw}
    label = "relative error of the table, %"
    return panel_grid(_drawn(energies), done, draws, label, _legend(markers=True))


def _drawn(energies: pd.DataFrame) -> pd.DataFrame:
    return energies[PANEL].drop_duplicates()


def _legend(markers: bool = False) -> list[Line2D]:
    hidden = {} if markers else {"marker": ""}
    return [
        Line2D([], [], label=f"table {stage} training", **{**style, **hidden})
        for stage, style in _STAGES.items()
    ]


def averaged(spectra: pd.DataFrame) -> str:
    """The number of seeds over which the singular values are averaged, in words."""
    least, most = spectra["seeds"].min(), spectra["seeds"].max()
    if most == 1:
        return "of one seed"
    return (
        f"averaged over {most} seeds" if least == most else f"averaged over {least} to {most} seeds"
    )


def table(energies: pd.DataFrame, seeds: str) -> Table:
    """Energy kept and relative error at each rate, before and after training.

    Args:
        energies: The result of `kept`.
        seeds: The result of `averaged`, for the note.
    """
    shown = {}
    for _, block in energies.groupby(PANEL, sort=False):
        lines = []
        for _, at_rate in block.groupby("rate"):
            row = at_rate.iloc[0]
            line = {
                "requested": percent(row["rate"]),
                "achieved": percent(row["achieved"]),
                "rank": number(row["rank"]),
            }
            for _, stage in at_rate.iterrows():
                line[f"energy kept, {stage['stage']}"] = percent(stage["energy"])
                line[f"relative error, {stage['stage']}"] = percent(stage["error"])
            lines.append(line)
        shown[title(block.iloc[0], energies)] = pd.DataFrame(lines)
    method = energies["method"].iloc[0]
    note = (
        f"The table's squared Frobenius norm that the rank of `{method}` keeps at each rate, and "
        "the relative error of the best approximation of that rank, before and after training; "
        f"singular values {seeds}."
    )
    return Table("spectra", "Singular values and reconstruction", note, energies, shown)
