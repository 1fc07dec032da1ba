"""Cells: a cell combines the runs of one panel, method and rate over all seeds.

Every function here takes `Runs.done` and returns a table of plain numbers. Figures and printed
tables only format these numbers.
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
# The order in tables and legends: the paper's method, its competitors, then all other methods.
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
ROUNDING = 1e-9  # points: rounding may leave this difference between two equal means

_ESTIMATED = {
    "test_accuracy": "accuracy",
    "drop": "drop",
    "achieved_reduction": "achieved",
}
# These columns are equal for all seeds of a cell.
_AVERAGED = ["rank", "bits", "vocab_size", "dim", "test_size", "flops_per_sentence"]
_AVERAGED += ["embedding_bytes_original", "embedding_bytes", "model_bytes_original", "model_bytes"]
_AVERAGED += ["model_reduction", "folded_bytes", "folded_reduction", "file_bytes"]
_AVERAGED += ["model_saved"]


def method_order(method: str) -> tuple[int, list[tuple[int, float, str]]]:
    """A sort key for methods: the reference, then the known methods, then the others by name."""
    order = [REFERENCE, *KNOWN_METHODS]
    name = method.partition(",")[0]
    return (order.index(name) if name in order else len(order), natural(method))


def methods(done: pd.DataFrame) -> list[str]:
    """The methods that were run, without the reference, in the order of `method_order`."""
    return sorted(set(done["method"]) - {REFERENCE}, key=method_order)


def rates(done: pd.DataFrame) -> list[float]:
    """The requested rates at which a method was run, ascending."""
    return sorted(done.loc[done["method"] != REFERENCE, "rate"].unique())


def panels(done: pd.DataFrame) -> pd.DataFrame:
    """The panels (data, network, schedule) that were run, sorted by name, synthetic data last."""

    def order(panel: tuple[str, str, str]) -> tuple[object, ...]:
        return (is_synthetic(panel[0]), *map(natural, panel))

    run = done[PANEL].drop_duplicates().itertuples(index=False, name=None)
    return pd.DataFrame(sorted(run, key=order), columns=PANEL)


def summarize(done: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, panel by panel: first the reference, then every rate and method.

    The columns are the names of the cell; `n`, the number of seeds; `accuracy`, `drop` and
    `achieved`, each with `_n` and the ends `_low` and `_high` of its 95 % interval; averages of
    sizes; `overrides`, the command line of the first seed; and `sampling_error`, the sampling error
    of the panel's reference accuracy on its test split.
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
    """The cells of panels with a reference, from which drops are measured."""
    return cells[cells.groupby(PANEL)["method"].transform(lambda names: REFERENCE in set(names))]


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The rows (runs or cells) of panels with two or more cells, which can be compared."""
    names = table["method"] + table["rate"].map(" {:g}".format)
    return table[names.groupby([table[key] for key in PANEL]).transform("nunique") > 1]


def measure(done: pd.DataFrame) -> pd.DataFrame:
    """The measured costs: one row per cell and device, since devices cannot be averaged.

    The columns are the names of the cell; `device`; `latency` with `_low`, `_high` and `_n`; and
    the means of `train_seconds` and `peak_memory_bytes`.
    """
    measured = []
    for key, group in done.groupby([*CELL, "device"], sort=False):
        row: dict[str, object] = dict(zip([*CELL, "device"], key, strict=True))
        row |= estimate_columns("latency", group["latency_ms"])
        measured.append(row | group[["train_seconds", "peak_memory_bytes"]].mean().to_dict())
    return _ordered(pd.DataFrame(measured), done, ["rate", "device"])


def estimate_columns(name: str, values: pd.Series) -> dict[str, object]:
    """The estimate of a mean as columns: `name`, and `name` with `_low`, `_high` and `_n`.

    A t-interval is unbounded, so the interval of an accuracy is cut off at 0 and 100 %.
    """
    estimate = t_interval(values.dropna().to_numpy())
    low, high = estimate.low, estimate.high
    if name == "accuracy":
        low, high = np.clip([low, high], 0, 100).tolist()
    ends = {f"{name}_low": low, f"{name}_high": high}
    return {name: estimate.mean, **ends, f"{name}_n": estimate.n}


def _ordered(table: pd.DataFrame, done: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sort a table of cells by panel, then by the columns `by`, then by method."""
    place = {method: i for i, method in enumerate([REFERENCE, *methods(done)])}
    table = table.assign(
        method_place=table["method"].map(place), first=table["method"] != REFERENCE
    )
    table = table.sort_values(["first", *by, "method_place"], kind="stable")
    return panels(done).merge(table.drop(columns=["method_place", "first"]), on=PANEL)


def incomplete(done: pd.DataFrame) -> pd.DataFrame:
    """The cells that lack seeds that most cells of their panel have, with the missing `seeds`."""
    lacking = []
    for _, panel in done.groupby(PANEL, sort=False):
        seeds = panel.groupby(["method", "rate"])["seed"].agg(set)
        counts = Counter(seed for cell in seeds for seed in cell)
        usual = {seed for seed, count in counts.items() if 2 * count > len(seeds)}
        for (method, rate), cell in seeds.items():
            if absent := sorted(usual - cell):
                lacking.append((*panel[PANEL].iloc[0], method, rate, absent))
    return _ordered(pd.DataFrame(lacking, columns=[*CELL, "seeds"]), done, ["rate"])


def shipped(cells: pd.DataFrame) -> tuple[str, str]:
    """The column with the size that a user pays, and its name: the model file, if all have one.

    Earlier versions recorded only the tensors of the network as it is deployed (folded).
    """
    if cells["file_bytes"].notna().all():
        return "file_bytes", "model file"
    return "folded_bytes", "whole network"


def smallest_within(cells: pd.DataFrame, within: float) -> pd.DataFrame:
    """For each panel, the smallest model whose mean drop is at most `within` points.

    The sizes compared are those of `shipped`, and cells without a recorded size are ignored. The
    reference always qualifies with a drop of zero, so it is the answer if no
    smaller network qualifies.
    """
    size, _ = shipped(cells)
    good = cells[(cells["drop"] <= within + ROUNDING) & cells[size].notna()]
    return good.sort_values([size, "drop"]).groupby(PANEL, sort=False).head(1)
