"""The summary in the source's own words: who wins, by how much, and whether that is shown."""

from dataclasses import replace

import pandas as pd

from ccompress.report import cells as cell
from ccompress.report import tables
from ccompress.report.rows import PANEL, Runs
from ccompress.report.statistics import ALPHA, Estimate
from ccompress.report.tables import NOTHING, Table, estimate, named, number, percent, text

TEST = "paired t-test over seeds with Holm's correction"


def interval(found: Estimate) -> str:
    """A mean in points and its interval, where it has one."""
    ends = "" if pd.isna(found.low) else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.mean:.2f}{ends}"


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


def _comparisons(number: int) -> str:
    return "1 comparison" if number == 1 else f"{number} comparisons"


def sentences(runs: Runs, table: pd.DataFrame) -> list[str]:
    """The findings at the headline rates, one sentence each; empty where nothing is compared."""
    if len(cell.methods(runs.done)) < 2:
        return []
    found = []
    tests, means = cell.comparisons(runs.done), cell.mean_comparisons(runs.done)
    for rate in cell.headline_rates(runs.done):
        first = cell.methods(runs.done)[0]
        best = cell.best_others(table, rate, first).dropna(subset=["drop", "drop_other"])
        if best.empty:
            continue
        ours = cell.mean_drop(
            runs.done, rate, [(*row, first) for row in best[PANEL].itertuples(index=False)]
        )
        others = cell.mean_drop(
            runs.done, rate, list(best[[*PANEL, "method_other"]].itertuples(index=False, name=None))
        )
        within = int((best["drop_low"] > 1.0).sum())
        found.append(
            f"At {percent(rate)}, `{first}` drops {interval(ours)} points in the mean of "
            f"{_cells(len(best))}, the best other method of each cell {interval(others)} "
            f"(n = {ours.n} and {others.n} seeds); in {_cells(within)} the 95 % interval of "
            f"`{first}` lies wholly above 1.0."
        )
        at_rate = tests[tests["rate"] == rate]
        against = []
        for other, group in at_rate.groupby("other", sort=False):
            better, worse = ((group["verdict"] == verdict).sum() for verdict in ("better", "worse"))
            against.append(f"than `{other}` in {better} of {_cells(len(group))} (worse in {worse})")
        found.append(
            f"At {percent(rate)}, `{first}` is significantly better {', '.join(against)}: {TEST} "
            f"over {_comparisons(at_rate['p'].notna().sum())} at this rate, p < {ALPHA:g}."
        )
        for row in means[(means["rate"] == rate) & (means["panels"] > 1)].itertuples():
            apart = Estimate(row.difference, row.low, row.high, row.n)
            found.append(
                f"At {percent(rate)}, in the mean of {_cells(row.panels)}, `{first}` minus "
                f"`{row.other}` is {interval(apart)} points (n = {row.n} seeds): {row.verdict}, "
                f"p {_equals(row.p_holm)}."
            )
    return found


def headline(runs: Runs, table: pd.DataFrame) -> Table:
    """At the headline rates, per cell: the drop of the first method and of the best other one."""
    first = cell.methods(runs.done)[0]
    lines = []
    for rate in cell.headline_rates(runs.done):
        best = cell.best_others(table, rate, first)
        lines.append(best.assign(rate=rate))
    numbers = pd.concat(lines, ignore_index=True)
    shown = {}
    for rate, block in numbers.groupby("rate"):
        shown[f"At {percent(float(str(rate)))}"] = text(
            {
                **named(row),
                f"{first}: drop": estimate(row, "drop"),
                "best other method": NOTHING
                if pd.isna(row["method_other"])
                else row["method_other"],
                "its drop": estimate(_other(row), "drop"),
                "sampling error": number(row["sampling_error"], ".2f"),
            }
            for _, row in block.iterrows()
        )
    note = "\n".join(f"- {sentence}" for sentence in sentences(runs, table))
    note += (
        "\n\nThe best other method of a cell is the best on test, by the numbers that are shown: "
        "that favours it."
    )
    return Table("summary", "Summary", note, numbers, shown)


def _other(row: pd.Series) -> pd.Series:
    """The best other method's estimate under the names of the first one's."""
    names = ("drop", "drop_low", "drop_high")
    other = {name: row[f"{name}_other"] for name in names}
    return pd.Series(other | {"drop_n": 0 if pd.isna(row["drop_n_other"]) else row["drop_n_other"]})


def p_value(p: float) -> str:
    """A p-value to four decimals."""
    return "< 0.0001" if p < 0.0001 else number(p, ".4f")


def _equals(p: float) -> str:
    return p_value(p) if p < 0.0001 else f"= {p_value(p)}"


def standings(table: pd.DataFrame) -> Table:
    """How often each method is best, second and worst."""
    numbers = cell.standings(table)
    note = (
        "In how many (data set, network) and rates each method has the best, the second and the "
        "worst mean accuracy, out of those where it and another were run; a tie counts for both. "
        "Methods meet at the requested rate; what each of them achieves is in the table of drops."
    )
    return Table("standings", "Best, second, worst", note, numbers, {"": numbers})


def schedules(runs: Runs, table: pd.DataFrame) -> Table:
    """Accuracy of each method under each schedule, side by side, and the tests of their means."""
    side_by_side = tables.schedules(table)
    tested = cell.schedule_comparisons(runs.done)
    lines = [
        {
            "method": row["method"],
            "rate": percent(row["rate"]),
            "schedules": f"{row['schedule']} minus {row['other']}",
            **_in_the_mean(row),
        }
        for _, row in tested.iterrows()
    ]
    note = f"{side_by_side.note} Below, differences of the means: {TEST}, over those of one rate."
    shown = side_by_side.shown | {"Differences": pd.DataFrame(lines)}
    return replace(side_by_side, note=note, shown=shown)


def _in_the_mean(row: pd.Series) -> dict[str, str]:
    """A test of the mean of the cells, as its tables show it."""
    return {
        "in the mean of": _cells(row["panels"]),
        "difference": estimate(_difference(row), "difference"),
        "p (Holm)": p_value(row["p_holm"]),
        "verdict": row["verdict"],
    }


def _difference(row: pd.Series) -> pd.Series:
    """A tested difference under the names of an estimate."""
    names = {"low": "difference_low", "high": "difference_high", "n": "difference_n"}
    return row.rename(names)


def tests(runs: Runs) -> Table:
    """Every comparison with its test; the headline rates are shown, all are in the CSV file."""
    numbers = cell.comparisons(runs.done)
    shown = {}
    for rate in cell.headline_rates(runs.done):
        at_rate = numbers[numbers["rate"] == rate]
        shown[f"At {percent(rate)}"] = text(
            {
                **named(row),
                "method": row["method"],
                "against": row["other"],
                "difference": estimate(_difference(row), "difference"),
                "t": number(row["t"], ".2f"),
                "p": p_value(row["p"]),
                "p (Holm)": p_value(row["p_holm"]),
                "verdict": row["verdict"],
            }
            for _, row in at_rate.iterrows()
        )
    note = (
        f"Difference in accuracy, in points: {TEST}, over all comparisons at one rate. Where all "
        "seeds differ by the same amount there is no test, and nothing counts as shown."
    )
    return Table("tests", "Paired tests", note, numbers, shown)


def mean_tests(runs: Runs) -> Table:
    """The tests of the accuracy averaged over the cells, at every rate."""
    numbers = cell.mean_comparisons(runs.done)
    lines = [
        {
            "rate": percent(row["rate"]),
            "methods": f"{row['method']} minus {row['other']}",
            **_in_the_mean(row),
        }
        for _, row in numbers.iterrows()
    ]
    note = (
        "Difference in accuracy, in points, of the mean over data sets and networks, seed by seed: "
        f"{TEST}, over the comparisons at one rate."
    )
    return Table("mean_tests", "The mean of the cells", note, numbers, {"": pd.DataFrame(lines)})
