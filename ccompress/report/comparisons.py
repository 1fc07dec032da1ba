"""Comparisons of methods and of schedules, and the rank of each method.

Every function takes `Runs.done`, or the cells that `aggregation.summarize` makes from it.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ccompress.report.aggregation import CELL, ROUNDING, methods, panels, rates
from ccompress.report.statistics import ALPHA, Estimate, holm, paired_t_test, t_interval
from ccompress.report.stored_runs import PANEL, REFERENCE

SCHEDULE = "calr"  # the paper's

_TESTED = ["difference", "low", "high", "n", "t", "p"]


def comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The first method against each other one: a paired t-test over seeds for each panel and rate.

    `difference` is the first method's accuracy minus the other's, in points, over the seeds that
    both have, with its 95 % interval. `p_holm` is the p-value after Holm's correction over all
    comparisons at one rate. `verdict` is "better" or "worse" if p_holm < 0.05, "not tested" if
    there is no test, and otherwise "not shown".
    """
    tests = [
        (*panel, rate, method, other, *_tested(difference.dropna()))
        for rate, method, other, differences in _differences(done)
        for panel, difference in differences.iterrows()
    ]
    table = pd.DataFrame(tests, columns=[*PANEL, "rate", "method", "other", *_TESTED])
    return panels(done).merge(_verdicts(table), on=PANEL)


def is_tested(done: pd.DataFrame) -> bool:
    """Whether `comparisons` can test any two methods against each other."""
    return len(methods(done)) > 1 and bool(comparisons(done)["p"].notna().any())


def mean_comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The tests of `comparisons` for the accuracy that is averaged over panels, seed by seed.

    There is one row per rate and other method. The average includes the panels in which both
    methods were run at that rate (`panels` is their number), and the seeds that all of them have.
    """
    tests = [
        (rate, method, other, *_tested_mean(differences))
        for rate, method, other, differences in _differences(done)
    ]
    table = pd.DataFrame(tests, columns=["rate", "method", "other", "panels", *_TESTED])
    return _verdicts(table[table["n"] > 0].copy())


def schedule_comparisons(done: pd.DataFrame) -> pd.DataFrame:
    """The paper's schedule against each other one, for each method and rate.

    The tests are those of `mean_comparisons`. The average includes the data sets and networks that
    were run with both schedules.
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
    """Yield rate, first method, other method, and their difference in accuracy (panels x seeds)."""
    first, *others = methods(done)
    accuracy = done.set_index([*CELL, "seed"])["test_accuracy"].unstack("method")
    for rate, group in accuracy.groupby("rate"):
        for other in others:
            difference = (group[first] - group[other]).droplevel("rate").unstack("seed")
            yield float(str(rate)), first, other, difference.dropna(how="all")


def _tested(difference: pd.Series) -> tuple[float, ...]:
    """The columns `_TESTED`: estimate and paired t-test of differences, one per seed."""
    values = difference.to_numpy()
    return (*t_interval(values), *paired_t_test(values))


def _tested_mean(differences: pd.DataFrame) -> tuple[float, ...]:
    """The number of panels, and the test of the mean over panels of `differences`."""
    by_seed = differences.mean(skipna=False).dropna()
    return (len(differences), *_tested(by_seed))


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `p_holm`, corrected over the tests at each rate, and `verdict`."""
    table["p_holm"] = table.groupby("rate")["p"].transform(lambda p: holm(p.to_numpy()))
    sign = np.where(table["difference"] > 0, "better", "worse")
    verdict = np.where(table["p_holm"] < ALPHA, sign, "not shown")
    table["verdict"] = np.where(table["p"].isna(), "not tested", verdict)
    return table


def standings(cells: pd.DataFrame) -> pd.DataFrame:
    """How often each method has the best, second and worst mean accuracy.

    Every panel and rate with at least two methods counts, and a tie counts for both. `of` is the
    number of these at which the method was run.
    """
    run = cells[cells["method"] != REFERENCE].copy()
    run["accuracy"] = (run["accuracy"] / ROUNDING).round()
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
    """The rates of the summary: 0.9 and 0.95, or the largest rate if neither was run."""
    run = rates(done)
    return [rate for rate in run if rate in (0.9, 0.95)] or run[-1:]


def best_others(cells: pd.DataFrame, rate: float, first: str) -> pd.DataFrame:
    """For each panel at one rate: the drop of method `first` and of the best other method."""
    at_rate = cells[(cells["rate"] == rate) & (cells["method"] != REFERENCE)]
    ours = at_rate[at_rate["method"] == first].set_index(PANEL)
    others = at_rate[(at_rate["method"] != first) & at_rate["drop"].notna()]
    best = others.sort_values("drop").groupby(PANEL).head(1).set_index(PANEL)
    columns = ["method", "drop", "drop_low", "drop_high", "drop_n"]
    ours = ours[[*columns, "sampling_error"]].reset_index()
    return ours.merge(best[columns].reset_index(), on=PANEL, how="left", suffixes=("", "_other"))


def mean_drop(done: pd.DataFrame, rate: float, chosen: Iterable[tuple[str, ...]]) -> Estimate:
    """The mean drop at `rate`: averaged over panels for each seed, then estimated over seeds.

    Args:
        done: The finished runs.
        rate: The requested rate.
        chosen: (data, network, schedule, method) of the cells to average. Only seeds that all of
            these cells have count.
    """
    keys = pd.MultiIndex.from_tuples(chosen, names=[*PANEL, "method"])
    at_rate = done[done["rate"] == rate].set_index([*PANEL, "method", "seed"])["drop"]
    by_seed = at_rate.unstack("seed").reindex(keys)
    return t_interval(by_seed.mean(skipna=False).dropna().to_numpy())
