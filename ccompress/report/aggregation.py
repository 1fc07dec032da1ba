"""Cells: the runs of one panel, method and rate taken together over seeds.

Everything here is a function of `Runs.done` and returns a table of plain numbers. A figure or a
printed table formats it and computes nothing.
"""

from collections import Counter

import numpy as np
import pandas as pd

from ccompress.experiment.results import sampling_error
from ccompress.report.labels import natural
from ccompress.report.provenance import is_synthetic
from ccompress.report.statistics import t_interval
from ccompress.report.stored_runs import PANEL, REFERENCE

CELL = [*PANEL, "method", "rate"]
# The order of tables and legends: the paper's method, its rivals, then what goes beyond it.
KNOWN_METHODS = [
    "in_training_svd",
    "pre_training_svd",
    "quantization",
    "codebook_quantization",
    "product_quantization",
    "in_training_svd_int8",
    "in_training_svd_weighted",
    "in_training_svd_mixed",
    "row_quantization",
    "in_training_svd_frozen",
    "factored_start",
    "random_columns",
]
ROUNDING = 1e-9  # points: what adding up percentages may leave between two equal means

_ESTIMATED = {
    "test_accuracy": "accuracy",
    "drop": "drop",
    "achieved_reduction": "achieved",
}
# The same for every seed of a cell.
_AVERAGED = ["rank", "bits", "vocab_size", "dim", "test_size", "flops_per_sentence"]
_AVERAGED += ["embedding_bytes_original", "embedding_bytes", "model_bytes_original", "model_bytes"]
_AVERAGED += ["model_reduction", "folded_bytes", "folded_reduction", "file_bytes"]
_AVERAGED += ["model_saved"]


def method_order(method: str) -> tuple[int, list[tuple[int, float, str]]]:
    """A key that sorts methods: the reference, the known ones, the others by name."""
    order = [REFERENCE, *KNOWN_METHODS]
    name = method.partition(",")[0]
    return (order.index(name) if name in order else len(order), natural(method))


def methods(done: pd.DataFrame) -> list[str]:
    """The methods that were run, without the reference; the known ones first, then by name."""
    return sorted(set(done["method"]) - {REFERENCE}, key=method_order)


def rates(done: pd.DataFrame) -> list[float]:
    """The requested rates at which a method was run, ascending."""
    return sorted(done.loc[done["method"] != REFERENCE, "rate"].unique())


def panels(done: pd.DataFrame) -> pd.DataFrame:
    """The (data, network, schedule) that were run, by name, synthetic data last."""

    def order(panel: tuple[str, str, str]) -> tuple[object, ...]:
        return (is_synthetic(panel[0]), *map(natural, panel))

    run = done[PANEL].drop_duplicates().itertuples(index=False, name=None)
    return pd.DataFrame(sorted(run, key=order), columns=PANEL)


def summarize(done: pd.DataFrame) -> pd.DataFrame:
    """One row a cell that was run, panel by panel: the reference, then every rate and method.

    Columns: the cell's names, `n` (seeds), `accuracy`, `drop`, `achieved` (each with `_low` and
    `_high`, the ends of the 95 % interval, and `_n`), averages of sizes, `overrides`, the command
    line of its first seed, and the panel's `sampling_error`, that of the reference accuracy on its
    test split.
    """
    summaries = []
    for key, group in done.sort_values("seed").groupby(CELL, sort=False):
        summary: dict[str, object] = dict(zip(CELL, key, strict=True))
        summary["n"] = len(group)
        summary["overrides"] = group["overrides"].iloc[0]
        for column, name in _ESTIMATED.items():
            summary |= estimate_columns(name, group[column])
        summaries.append(summary | group[_AVERAGED].mean().to_dict())
    cells = _ordered(pd.DataFrame(summaries), done, ["rate"])
    reference = cells[cells["method"] == REFERENCE].set_index(PANEL)
    errors = sampling_error(reference["accuracy"], reference["test_size"]).rename("sampling_error")
    return cells.join(errors, on=PANEL)


def with_reference(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the panels whose reference was run: drops are measured from it."""
    return cells[cells.groupby(PANEL)["method"].transform(lambda names: REFERENCE in set(names))]


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The rows (runs or cells) of the panels that have something to compare: two cells or more."""
    names = table["method"] + table["rate"].map(" {:g}".format)
    return table[names.groupby([table[key] for key in PANEL]).transform("nunique") > 1]


def measure(done: pd.DataFrame) -> pd.DataFrame:
    """What was measured, a row a cell and device: what one device takes says nothing of another.

    Columns: the cell's names, `device`, `latency` with `_low`, `_high` and `_n`, and the means of
    `train_seconds` and `peak_memory_bytes`.
    """
    measured = []
    for key, group in done.groupby([*CELL, "device"], sort=False):
        row: dict[str, object] = dict(zip([*CELL, "device"], key, strict=True))
        row |= estimate_columns("latency", group["latency_ms"])
        measured.append(row | group[["train_seconds", "peak_memory_bytes"]].mean().to_dict())
    return _ordered(pd.DataFrame(measured), done, ["rate", "device"])


def estimate_columns(name: str, values: pd.Series) -> dict[str, object]:
    """The estimate of a mean as columns: `name`, and with `_low`, `_high` and `_n`.

    A t-interval knows no bounds; that of an accuracy is cut off at 0 and 100 %.
    """
    estimate = t_interval(values.dropna().to_numpy())
    low, high = estimate.low, estimate.high
    if name == "accuracy":
        low, high = np.clip([low, high], 0, 100).tolist()
    ends = {f"{name}_low": low, f"{name}_high": high}
    return {name: estimate.mean, **ends, f"{name}_n": estimate.n}


def _ordered(table: pd.DataFrame, done: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The rows of a table of cells panel by panel, in each by the columns `by` and the method."""
    place = {method: i for i, method in enumerate([REFERENCE, *methods(done)])}
    table = table.assign(
        method_place=table["method"].map(place), first=table["method"] != REFERENCE
    )
    table = table.sort_values(["first", *by, "method_place"], kind="stable")
    return panels(done).merge(table.drop(columns=["method_place", "first"]), on=PANEL)


def incomplete(done: pd.DataFrame) -> pd.DataFrame:
    """The cells that lack seeds which most cells of their panel have: a row a cell, its `seeds`."""
    lacking = []
    for _, panel in done.groupby(PANEL, sort=False):
        seeds = panel.groupby(["method", "rate"])["seed"].agg(set)
        counts = Counter(seed for cell in seeds for seed in cell)
        usual = {seed for seed, count in counts.items() if 2 * count > len(seeds)}
        for (method, rate), cell in seeds.items():
            if absent := sorted(usual - cell):
                lacking.append((*panel[PANEL].iloc[0], method, rate, absent))
    return _ordered(pd.DataFrame(lacking, columns=[*CELL, "seeds"]), done, ["rate"])


def smallest_within(cells: pd.DataFrame, within: float) -> pd.DataFrame:
    """In each panel the cell of the smallest network whose mean drop is at most `within` points.

    It is the network as it is deployed that is compared; a cell whose size was not recorded is not
    looked at. The reference qualifies always, with a drop of zero: where nothing smaller does, it
    is named.
    """
    good = cells[(cells["drop"] <= within + ROUNDING) & cells["folded_bytes"].notna()]
    return good.sort_values(["folded_bytes", "drop"]).groupby(PANEL, sort=False).head(1)
