"""Cells: the runs of one panel, method and rate taken together over seeds; and what they say.

Everything here is a function of `rows.Runs.done` and returns a table of plain numbers. A figure or
a printed table formats it and computes nothing.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ccompress.report.provenance import is_synthetic
from ccompress.report.rows import PANEL, REFERENCE
from ccompress.report.statistics import (
    ALPHA,
    Estimate,
    holm,
    paired_t_test,
    sampling_error,
    t_interval,
)

CELL = [*PANEL, "method", "rate"]
SCHEDULE = "calr"  # the paper's
# The order of tables and legends: the paper's method, its rivals, then what goes beyond it.
KNOWN_METHODS = [
    "in_training_svd",
    "pre_training_svd",
    "quantization",
    "codebook_quantization",
    "product_quantization",
    "in_training_svd_int8",
    "in_training_svd_weighted",
]

_TESTED = ["difference", "low", "high", "n", "t", "p"]
_ROUNDING = 1e-9  # points: what adding up percentages may leave between two equal means

_ESTIMATED = {
    "test_accuracy": "accuracy",
    "drop": "drop",
    "achieved_reduction": "achieved",
    "latency_ms": "latency",
}
# The same for every seed of a cell, but for the run's own measurements.
_AVERAGED = ["rank", "bits", "vocab_size", "dim", "test_size", "model_reduction"]
_AVERAGED += ["embedding_bytes_original", "embedding_bytes", "model_bytes_original", "model_bytes"]
_AVERAGED += ["file_bytes", "flops_per_sentence", "train_seconds", "peak_memory_bytes"]


def methods(done: pd.DataFrame) -> list[str]:
    """The methods that were run, without the reference; the known ones first, then by name."""

    def order(method: str) -> tuple[int, str]:
        name = method.partition(",")[0]
        return (KNOWN_METHODS.index(name) if name in KNOWN_METHODS else len(KNOWN_METHODS), method)

    return sorted(set(done["method"]) - {REFERENCE}, key=order)


def rates(done: pd.DataFrame) -> list[float]:
    """The requested rates at which a method was run, ascending."""
    return sorted(done.loc[done["method"] != REFERENCE, "rate"].unique())


def panels(done: pd.DataFrame) -> pd.DataFrame:
    """Every (data, schedule) that was run x every network, by name, synthetic data last.

    A combination without a single run is a panel too, so that it shows as missing.
    """
    run = done[["data", "schedule"]].drop_duplicates()
    networks = pd.DataFrame({"network": sorted(done["network"].unique())})
    every = run.assign(made_up=run["data"].map(is_synthetic)).merge(networks, how="cross")
    return every.sort_values(["made_up", *PANEL], ignore_index=True)[PANEL]


def cells(done: pd.DataFrame) -> pd.DataFrame:
    """One row a cell of the full grid: every panel x (the reference, every method at every rate).

    Columns: the cell's names, `n` (seeds), `accuracy`, `drop`, `achieved`, `latency` (each with
    `_low` and `_high`, the ends of the 95 % interval, and `_n`), averages of sizes and costs,
    `overrides`, the command line of its first seed, and the panel's `sampling_error`, that of the
    reference accuracy on its test split. A cell that was not run has n = 0 and nan.
    """
    summaries = []
    for key, group in done.sort_values("seed").groupby(CELL, sort=False):
        summary: dict[str, object] = dict(zip(CELL, key, strict=True))
        summary["n"] = len(group)
        summary["overrides"] = group["overrides"].iloc[0]
        for column, name in _ESTIMATED.items():
            estimate = t_interval(group[column].dropna().to_numpy())
            summary[name] = estimate.mean
            summary |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            summary[f"{name}_n"] = estimate.n
        summaries.append(summary | group[_AVERAGED].mean().to_dict())
    grid = [(REFERENCE, 0.0), *((method, rate) for rate in rates(done) for method in methods(done))]
    full = panels(done).merge(pd.DataFrame(grid, columns=["method", "rate"]), how="cross")
    merged = full.merge(pd.DataFrame(summaries), on=CELL, how="left")
    counts = ["n", *(f"{name}_n" for name in _ESTIMATED.values())]
    merged[counts] = merged[counts].fillna(0).astype(int)
    merged["overrides"] = merged["overrides"].fillna("")
    reference = merged[merged["method"] == REFERENCE].set_index(PANEL)
    errors = sampling_error(reference["accuracy"], reference["test_size"]).rename("sampling_error")
    return merged.join(errors, on=PANEL)


def missing(done: pd.DataFrame) -> pd.DataFrame:
    """The runs that the grid lacks: a row a cell, with the seeds that other cells have."""
    seeds = set(done["seed"])
    present = done.groupby(CELL)["seed"].agg(set)
    lacking = []
    for key in cells(done)[CELL].itertuples(index=False, name=None):
        absent = sorted(seeds - present.get(key, set()))
        if absent:
            lacking.append((*key, absent))
    return pd.DataFrame(lacking, columns=[*CELL, "seeds"])


def comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The first method against every other: paired t-tests over seeds, in each panel, at each rate.

    `difference` is the first method's accuracy minus the other's, in points, over the seeds that
    both have, with its 95 % interval; `p_holm` is Holm's correction over all comparisons at one
    rate; `verdict` is "better" or "worse" where p_holm < 0.05, else "not shown".
    """
    tests = [
        (*panel, rate, method, other, *_tested(difference.dropna()))
        for rate, method, other, differences in _differences(done)
        for panel, difference in differences.iterrows()
    ]
    table = pd.DataFrame(tests, columns=[*PANEL, "rate", "method", "other", *_TESTED])
    return panels(done).merge(_verdicts(table), on=PANEL)


def mean_comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The tests of `comparisons` for the accuracy averaged over panels, seed by seed.

    A row a rate and other method. Averaged are the `panels` in which both were run at that rate;
    only seeds that all of these have are counted.
    """
    tests = [
        (rate, method, other, *_tested_mean(differences))
        for rate, method, other, differences in _differences(done)
    ]
    table = pd.DataFrame(tests, columns=["rate", "method", "other", "panels", *_TESTED])
    return _verdicts(table[table["n"] > 0].copy())


def schedule_comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The paper's schedule against every other, for each method and rate, as `mean_comparisons`.

    Averaged are the data sets and networks that were run under both.
    """
    by = ["data", "network", "method", "rate", "seed"]
    accuracy = done.set_index([*by, "schedule"])["test_accuracy"].unstack("schedule")
    first, *others = sorted(accuracy, key=lambda name: (name != SCHEDULE, name))
    tests = []
    for (rate, method), group in accuracy.groupby(["rate", "method"]):
        for other in others:
            differences = (group[first] - group[other]).unstack("seed").dropna(how="all")
            tests.append((rate, method, first, other, *_tested_mean(differences)))
    names = ["rate", "method", "schedule", "other", "panels", *_TESTED]
    table = pd.DataFrame(tests, columns=names)
    return _verdicts(table[table["n"] > 0].copy())


def _differences(done: pd.DataFrame) -> Iterator[tuple[float, str, str, pd.DataFrame]]:
    """(rate, first method, other, the first's accuracy minus the other's: panels x seeds)."""
    first, *others = methods(done)
    accuracy = done.set_index([*CELL, "seed"])["test_accuracy"].unstack("method")
    for rate, group in accuracy.groupby("rate"):
        for other in others:
            difference = (group[first] - group[other]).droplevel("rate").unstack("seed")
            yield float(str(rate)), first, other, difference.dropna(how="all")


def _tested(difference: pd.Series) -> tuple[float, ...]:
    """Estimate and paired t-test of differences, one a seed: the columns `_TESTED`."""
    values = difference.to_numpy()
    return (*t_interval(values), *paired_t_test(values))


def _tested_mean(differences: pd.DataFrame) -> tuple[float, ...]:
    """How many panels there are, and the test of their mean: panels x seeds."""
    by_seed = differences.mean(skipna=False).dropna()
    return (len(differences), *_tested(by_seed))


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Add Holm's correction over the tests at each rate, and what it leaves shown."""
    table["p_holm"] = table.groupby("rate")["p"].transform(lambda p: holm(p.to_numpy()))
    sign = np.where(table["difference"] > 0, "better", "worse")
    table["verdict"] = np.where(table["p_holm"] < ALPHA, sign, "not shown")
    return table


def standings(table: pd.DataFrame) -> pd.DataFrame:
    """In how many panels and rates each method has the best, second and worst mean accuracy.

    Counted where at least two methods were run; a tie counts for both. `of` is how many of those
    places the method was run at.
    """
    run = table[(table["method"] != REFERENCE) & (table["n"] > 0)].copy()
    run["accuracy"] = (run["accuracy"] / _ROUNDING).round()
    places = run.groupby([*PANEL, "rate"])["accuracy"]
    run["place"] = places.rank(ascending=False, method="min")
    run["last"] = places.rank(ascending=True, method="min") == 1
    run = run[places.transform("size") > 1]
    counts = run.groupby("method", sort=False).agg(
        best=("place", lambda place: int((place == 1).sum())),
        second=("place", lambda place: int((place == 2).sum())),
        worst=("last", "sum"),
        of=("place", "size"),
    )
    return counts.reset_index()


def headline_rates(done: pd.DataFrame) -> list[float]:
    """The rates that the summary speaks of: 0.9 and 0.95, or the largest where neither was run."""
    run = rates(done)
    return [rate for rate in run if rate in (0.9, 0.95)] or run[-1:]


def best_others(table: pd.DataFrame, rate: float, first: str) -> pd.DataFrame:
    """At one rate, in each panel: the drop of method `first` and of the best other method."""
    at_rate = table[(table["rate"] == rate) & (table["method"] != REFERENCE)]
    ours = at_rate[at_rate["method"] == first].set_index(PANEL)
    others = at_rate[(at_rate["method"] != first) & at_rate["drop"].notna()]
    best = others.sort_values("drop").groupby(PANEL).head(1).set_index(PANEL)
    columns = ["method", "drop", "drop_low", "drop_high", "drop_n"]
    ours = ours[[*columns, "sampling_error"]].reset_index()
    return ours.merge(best[columns].reset_index(), on=PANEL, how="left", suffixes=("", "_other"))


def mean_drop(done: pd.DataFrame, rate: float, chosen: Iterable[tuple[str, ...]]) -> Estimate:
    """The drop at `rate`, averaged over panels for each seed, then estimated over seeds.

    Args:
        done: Finished runs.
        rate: The requested rate.
        chosen: (data, network, schedule, method) of the cells to average. Only seeds that all of
            them have are counted.
    """
    keys = pd.MultiIndex.from_tuples(chosen, names=[*PANEL, "method"])
    at_rate = done[done["rate"] == rate].set_index([*PANEL, "method", "seed"])["drop"]
    by_seed = at_rate.unstack("seed").reindex(keys)
    return t_interval(by_seed.mean(skipna=False).dropna().to_numpy())


def smallest_within(table: pd.DataFrame, within: float) -> pd.DataFrame:
    """In each panel the cell of the fewest model bytes whose mean drop is at most `within` points.

    The reference qualifies always, with a drop of zero: where nothing smaller does, it is named.
    """
    good = table[table["drop"] <= within + _ROUNDING]
    return good.sort_values(["model_bytes", "drop"]).groupby(PANEL, sort=False).head(1)
