"""The summary in sentences: what was run, which method wins, by how much, and how surely."""

import pandas as pd

from ccompress.report import comparisons, provenance
from ccompress.report.aggregation import method_order, methods, rates
from ccompress.report.labels import natural
from ccompress.report.questions import Question
from ccompress.report.statistics import ALPHA, MIN_SEEDS, Estimate
from ccompress.report.stored_runs import PANEL, REFERENCE, Runs
from ccompress.report.tables import (
    NOTHING,
    UNSIZED,
    Table,
    estimate,
    interval,
    listed,
    named,
    number,
    percent,
    text,
)

# Methods whose removed shares differ by this much or more are not compared at equal bytes.
_UNEQUAL = 0.005

TEST = "paired t-test over seeds with Holm's correction"


def count(number: int, thing: str) -> str:
    """A number with its noun: 1 cell, 2 cells."""
    return f"1 {thing}" if number == 1 else f"{number:,} {thing}s"


def what_was_run(runs: Runs, asked: list[Question], tested: bool) -> list[str]:
    """Sentences that say which runs there are, what was varied, and what is left out.

    Args:
        runs: The runs of the report.
        asked: The questions in addition to that of methods and rates.
        tested: Whether the report contains any test.
    """
    sentences = [_extent(runs)]
    for question in asked:
        values = sorted(question.runs["value"].unique(), key=natural)
        sentences.append(f"Varied: `{question.option}` ({', '.join(values)}).")
    methods_run = runs.done.groupby(PANEL)["method"].agg(set)
    if lacking := sum(REFERENCE not in names for names in methods_run):
        sentences.append(
            f"Without drops: {lacking} of {count(len(methods_run), 'panel')} (data set, network, "
            f"schedule), since their reference (`method={REFERENCE}`) was not run."
        )
    if not tested:
        sentences.append(_untested(runs.done))
    if len(devices := sorted(runs.done["device"].unique())) > 1:
        sentences.append(
            f"Run on {listed(devices)}: the accuracy of a cell takes all of its seeds, while time "
            "and memory are given for each device apart."
        )
    if runs.refused:
        sentences.append(
            f"Left out: {count(runs.refused, 'run')} refused as input (such as a rate that a "
            "method cannot reach)."
        )
    if unsized := int(runs.done["folded_bytes"].isna().sum()):
        sentences.append(f"Without a size: {count(unsized, 'run')}, as {UNSIZED}.")
    if len(runs.failed):
        sentences.append(f"{count(len(runs.failed), 'run')} failed.")
    return sentences


def _extent(runs: Runs) -> str:
    """A sentence with the number of runs and everything that they cover."""
    done, chosen = runs.done, runs.labels.chosen
    names = {column: sorted(chosen[column].unique()) for column in chosen}
    of_methods = sorted(names["method"], key=lambda name: (name == REFERENCE, method_order(name)))
    shown = {REFERENCE: f"the reference (`{REFERENCE}`)"}
    parts = [
        listed(map(provenance.shown_name, names["dataset"])),
        listed(names["network"]),
        listed(names["schedule"]),
        listed(shown.get(name, f"`{name}`") for name in of_methods),
    ]
    if removed := rates(done):
        shares = listed(percent(rate).removesuffix(" %") for rate in removed)
        parts.append(f"{shares} % of the embedding table removed")
    seeds = _seeds(done)
    fewest, most = seeds.min(), seeds.max()
    parts.append(count(most, "seed") if fewest == most else f"{fewest} to {most} seeds")
    return f"{count(len(done), 'finished run')}: {'; '.join(parts)}."


def _seeds(done: pd.DataFrame) -> pd.Series:
    """The number of seeds of each cell."""
    return done.groupby([*PANEL, "method", "rate"]).size()


def _untested(done: pd.DataFrame) -> str:
    """A sentence that says why there is no test."""
    why = f"with fewer than {MIN_SEEDS} seeds there is no test and no interval"
    if _seeds(done).max() >= MIN_SEEDS:
        why = f"a test takes two methods or schedules that have {MIN_SEEDS} seeds in common"
    return f"Nothing was tested: {why}. A difference may be chance."


def sentences(done: pd.DataFrame, cells: pd.DataFrame, within: float) -> list[str]:
    """The findings at the headline rates, one sentence each; empty if nothing is compared.

    Args:
        done: The finished runs.
        cells: The result of `aggregation.summarize` for them.
        within: The drop, in points, with which the intervals are compared.
    """
    if len(methods(done)) < 2:
        return []
    tests, means = comparisons.comparisons(done), comparisons.mean_comparisons(done)
    sentences = []
    for rate in comparisons.headline_rates(done):
        best = comparisons.best_others(cells, rate, methods(done)[0])
        best = best.dropna(subset=["drop", "drop_other"])
        if best.empty:
            continue
        sentences.append(_best(done, cells, rate, best, within))
        sentences += _significance(tests[tests["rate"] == rate], rate)
        sentences += _means(means[means["rate"] == rate], _removed(cells, rate), rate)
    return sentences


def _best(
    done: pd.DataFrame, cells: pd.DataFrame, rate: float, best: pd.DataFrame, within: float
) -> str:
    """A sentence that compares the first method's drop with that of the best other one per cell."""
    first = methods(done)[0]
    panel = best[PANEL].itertuples(index=False, name=None)
    ours = comparisons.mean_drop(done, rate, [(*names, first) for names in panel])
    rivals = best[[*PANEL, "method_other"]].itertuples(index=False, name=None)
    others = comparisons.mean_drop(done, rate, list(rivals))
    seeds = f"{ours.n}" if ours.n == others.n else f"{ours.n} and {others.n}"
    plural = "s" * (max(ours.n, others.n) != 1)
    sentence = (
        f"At {percent(rate)} of the table{_shares(_removed(cells, rate), rate)}, `{first}` drops "
        f"{interval(ours)} points in the mean of {count(len(best), 'cell')}, the best other method "
        f"of each cell {interval(others)} (n = {seeds} seed{plural})"
    )
    if not pd.isna(ours.low):
        above = int((best["drop_low"] > within).sum())
        sentence += (
            f"; in {count(above, 'cell')} the 95 % interval of `{first}` lies wholly above "
            f"{within:.1f}"
        )
    return sentence + "."


def _removed(cells: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The shares of bytes that each method removes at a requested rate, averaged over its cells.

    The column `achieved` is the share of the table, and `folded_reduction` that of the deployed
    (folded) network.
    """
    at_rate = cells[(cells["rate"] == rate) & (cells["method"] != REFERENCE)]
    shares = at_rate.groupby("method")[["achieved", "folded_reduction"]].mean()
    return shares.loc[sorted(shares.index, key=method_order)]


def _shares(removed: pd.DataFrame, rate: float) -> str:
    """The shares that the methods remove, in parentheses.

    The share of the table is included if it differs from the requested rate; the share of the
    network if it was recorded.
    """

    def listing(shares: pd.Series) -> str:
        return ", ".join(f"`{method}` {share}" for method, share in shares.map(percent).items())

    parts = []
    if set(removed["achieved"].map(percent)) != {percent(rate)}:
        parts.append(f"achieved: {listing(removed['achieved'])}")
    if removed["folded_reduction"].notna().all():
        parts.append(f"of the network as deployed: {listing(removed['folded_reduction'])}")
    return f" ({'; '.join(parts)})" if parts else ""


def _significance(tests: pd.DataFrame, rate: float) -> list[str]:
    """A sentence on how often the first method is significantly better; empty without tests."""
    tested = tests[tests["n"] >= MIN_SEEDS]
    tests_made = int(tested["p"].notna().sum())
    if not tests_made:
        return []
    against = []
    for other, group in tested.groupby("other", sort=False):
        better, worse = ((group["verdict"] == verdict).sum() for verdict in ("better", "worse"))
        cells = count(len(group), "cell")
        against.append(f"than `{other}` in {better} of {cells} (worse in {worse})")
    return [
        f"At {percent(rate)} of the table, `{tests['method'].iloc[0]}` is significantly better "
        f"{', '.join(against)}: {TEST} over {count(tests_made, 'comparison')} at this rate, "
        f"p < {ALPHA:g}."
    ]


def _means(means: pd.DataFrame, removed: pd.DataFrame, rate: float) -> list[str]:
    """Sentences that compare the first method with each other one, averaged over several cells.

    If the shares that the two remove differ by `_UNEQUAL` or more, the sentence gives them.
    """
    sentences = []
    for row in means[(means["panels"] > 1) & means["p"].notna()].itertuples():
        apart = Estimate(row.difference, row.low, row.high, row.n)
        first, other = removed.loc[row.method], removed.loc[row.other]
        unequal = (
            f" ({percent(first['achieved'])} of the table and "
            f"{percent(first['folded_reduction'])} of the network removed, against "
            f"{percent(other['achieved'])} and {percent(other['folded_reduction'])})"
        )
        sentences.append(
            f"At {percent(rate)} of the table, in the mean of {count(row.panels, 'cell')}, "
            f"`{row.method}` minus `{row.other}`"
            f"{unequal if ((first - other).abs() >= _UNEQUAL).any() else ''} is {interval(apart)} "
            f"points (n = {row.n} seeds): {row.verdict}, p {_equals(row.p_holm)}."
        )
    return sentences


def headline(done: pd.DataFrame, cells: pd.DataFrame, within: float) -> Table:
    """For each cell at the headline rates: the drop of the first method and of the best other."""
    first = methods(done)[0]
    numbers = pd.concat(
        [
            comparisons.best_others(cells, rate, first).assign(rate=rate)
            for rate in comparisons.headline_rates(done)
        ],
        ignore_index=True,
    )
    shown = {}
    for rate, block in numbers.groupby("rate"):
        shown[f"At {percent(float(str(rate)))} of the table"] = text(
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
    note = "\n".join(f"- {sentence}" for sentence in sentences(done, cells, within))
    note += (
        "\n\nThe best other method of a cell is the best on test, by the numbers that are shown: "
        "that favours it."
    )
    return Table("summary", "Summary", note, numbers, shown)


def _other(row: pd.Series) -> pd.Series:
    """The best other method's estimate, renamed to the columns of the first method's."""
    names = ("drop", "drop_low", "drop_high")
    other = {name: row[f"{name}_other"] for name in names}
    return pd.Series(other | {"drop_n": 0 if pd.isna(row["drop_n_other"]) else row["drop_n_other"]})


def p_value(p: float) -> str:
    """A p-value with four decimals."""
    return "< 0.0001" if p < 0.0001 else number(p, ".4f")


def _equals(p: float) -> str:
    return p_value(p) if p < 0.0001 else f"= {p_value(p)}"


def standings(cells: pd.DataFrame) -> Table:
    """How often each method is best, second and worst."""
    numbers = comparisons.standings(cells)
    note = (
        "In how many (data set, network) and rates each method has the best, the second and the "
        "worst mean accuracy, out of those where it and another were run; a tie counts for both. "
        "Methods meet at the requested rate, a share of the table; what each of them removes of "
        "the table and of the network is in the table of drops."
    )
    return Table("standings", "Best, second, worst", note, numbers, {"": numbers})


def in_the_mean(row: pd.Series) -> dict[str, str]:
    """The columns that show a test of the mean over cells."""
    return {
        "in the mean of": count(row["panels"], "cell"),
        "difference": estimate(_difference(row), "difference"),
        "p (Holm)": p_value(row["p_holm"]),
        "verdict": row["verdict"],
    }


def _difference(row: pd.Series) -> pd.Series:
    """A tested difference, renamed to the columns of an estimate."""
    names = {"low": "difference_low", "high": "difference_high", "n": "difference_n"}
    return row.rename(names)


def tests(done: pd.DataFrame) -> Table:
    """All comparisons with their tests. The page shows the headline rates, the CSV file all."""
    numbers = comparisons.comparisons(done)
    shown = {}
    for rate in comparisons.headline_rates(done):
        at_rate = numbers[numbers["rate"] == rate]
        shown[f"At {percent(rate)} of the table"] = text(
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
    return Table("tests", "Paired tests", note, numbers, shown, tests=True)


def mean_tests(done: pd.DataFrame) -> Table:
    """The tests of the accuracy that is averaged over cells, at every rate."""
    numbers = comparisons.mean_comparisons(done)
    lines = [
        {
            "rate (of the table)": percent(row["rate"]),
            "methods": f"{row['method']} minus {row['other']}",
            **in_the_mean(row),
        }
        for _, row in numbers.iterrows()
    ]
    note = (
        "Difference in accuracy, in points, of the mean over data sets and networks, seed by seed: "
        f"{TEST}, over the comparisons at one rate."
    )
    return Table("mean_tests", "The mean of the cells", note, numbers, {"": pd.DataFrame(lines)})
