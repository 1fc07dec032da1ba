#!/usr/bin/env python
"""Write the page of the comparison in which every method has its own learning rate.

Each method, the reference included, chooses its upper learning rate on dev by successive halving
over the seeds (`ccompress.experiment.halving`). The script reads test at the chosen rates only.

    ccompress -m +experiment=tuned   # the trainings
    scripts/tuned.py                 # the tables and figures, results/tuned/README.md
"""

import functools
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import choose_rates
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ccompress.experiment import halving, results
from ccompress.report import aggregation, items, stored_runs
from ccompress.report.document import Picture, markdown, write_figure
from ccompress.report.provenance import shown_name
from ccompress.report.statistics import (
    Estimate,
    Floats,
    detectable_effect,
    equivalence,
    heterogeneity,
    t_interval,
)
from ccompress.report.stored_runs import REFERENCE
from ccompress.report.style import COLOURS, method_styles
from ccompress.report.summary import p_value
from ccompress.report.tables import interval, percent

RUNS = Path(__file__).parents[1] / "results" / "tuned" / "runs.csv"
CELL = ["dataset", "network"]
CELLS = 10  # of the whole experiment
MARGIN = 0.5  # points; stated before the runs were made
FIRST, EARLIER = "in_training_svd", "pre_training_svd"

PAGE = """# Every method at a learning rate of its own

{scope}

**When does compressing during training win over compressing before it, and by how much?** Points
on test between `{first}` and `{earlier}`, with the 95 % interval over seeds and test items:

{answer}

Each method, the reference included, chooses its upper learning rate of CALR on dev, among {grid},
by successive halving over the seeds: all run on seed 0, the better half on the next seed, and so
on, the last two on all {seeds} seeds; the better of the two is taken. Vectors: {vectors}; `books`
is synthetic.
`ccompress -m +experiment=tuned` runs it, `scripts/tuned.py` writes this page from `runs.csv` and
`correct.csv.xz`.

![Points lost against what is removed](figures/drop.svg)

*Points under the reference, mean of the complete cells, with the 95 % interval over seeds and
test items. Left: against the share of the table that is removed. Right: against the share of the
network, as it is deployed (folded). An arrow marks a mean that lies under the panel.*

## What each method loses

Mean of the cells, in points under the reference on test. Three intervals answer three questions:
with other *seeds and test items* of the same data sets; with other *cells* of this kind; with
other *data sets*.

{drops}

## `{first}` against the others

The difference in accuracy: above zero, `{first}` is better. *Equivalent*: p of two one-sided
tests that the mean lies within {margin:g} points of zero, cells taken as random; below 0.05 it is
shown. *Cells differ*: p of a one-way analysis of variance; a small one says that the mean hides
cells that differ, from the lowest to the highest given. *Detectable*: the smallest mean
difference that this many cells find four times in five.

{differences}

![The difference in each cell](figures/cells.svg)

*`{first}` minus `{earlier}`, a line a cell, mean of the seeds. Above zero, compressing during
training is better.*

## Each cell

Points under the reference on test, mean of the seeds with the 95 % t-interval, and the chosen
rate.

{by_cell}
"""


def main() -> None:
    """Write the page and its figures, and print the page."""
    runs = read(RUNS)
    taken = at_choices(runs)
    sizes = taken.set_index("run_id")["test_size"].astype(int).to_dict()  # failed runs have none
    correct = items.read_correct(RUNS.with_name(results.CORRECT), sizes)
    drops, against = losses(taken, correct), differences(taken, correct)
    for name, draw in (
        ("drop", functools.partial(drop_figure, drops)),
        ("cells", functools.partial(cells_figure, taken)),
    ):
        write_figure(RUNS.parent / "figures", Picture(name, "", draw))
    page = PAGE.format(
        scope=scope(taken),
        answer=answer(against),
        grid=", ".join(f"{upper:g}" for upper in sorted(runs["upper"].unique())),
        seeds=taken["seed"].nunique(),
        vectors=", ".join(sorted(taken["vectors"].unique())),
        first=FIRST,
        earlier=EARLIER,
        margin=MARGIN,
        drops=markdown(shown_losses(drops)),
        differences=markdown(shown_differences(against)),
        by_cell=markdown(by_cell(taken)),
    )
    RUNS.with_name("README.md").write_text(page, encoding="utf-8")
    print(page)


def read(path: Path) -> pd.DataFrame:
    """All runs, with the upper learning rate as `upper`; failed runs score minus infinity."""
    frame = pd.read_csv(path, dtype={"run_id": str})
    frame["upper"] = [choose_rates.upper_rate(line) for line in frame["overrides"]]
    frame["score"] = frame["dev_accuracy"].where(frame["status"] == "done", -math.inf)
    return frame


def choices(runs: pd.DataFrame) -> pd.DataFrame:
    """The learning rate of each data set, network, method and rate, for finished cells only.

    A cell is finished if its chosen learning rates, including the reference's, have run on every
    seed.
    """
    seeds = runs["seed"].nunique()
    lines = []
    for key, group in runs.groupby([*CELL, "method", "rate"]):
        ordered = group.sort_values("seed").groupby("upper")["score"]
        scores = {str(upper): list(values) for upper, values in ordered}
        upper = halving.chosen(scores)
        possible = max(map(max, scores.values())) > -math.inf
        if possible:
            lines.append((*key, float(upper), len(scores[upper]) == seeds))
    table = pd.DataFrame(lines, columns=[*CELL, "method", "rate", "upper", "finished"])
    whole = table.groupby(CELL)["finished"].transform("all")
    whole &= table.groupby(CELL)["method"].transform(lambda methods: REFERENCE in set(methods))
    return table[whole].drop(columns="finished")


def at_choices(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at the chosen rates, with their `drop` in points and the run id of `reference`."""
    chosen = runs.merge(choices(runs), on=[*CELL, "method", "rate", "upper"])
    key = [*CELL, "seed"]
    of_reference = chosen[chosen["method"] == REFERENCE].set_index(key)
    paired = of_reference.loc[pd.MultiIndex.from_frame(chosen[key])]
    return chosen.assign(
        reference=paired["run_id"].to_numpy(),
        drop=paired["test_accuracy"].to_numpy() - chosen["test_accuracy"].to_numpy(),
        folded_reduction=stored_runs.folded_reduction(chosen),
    )


def losses(taken: pd.DataFrame, correct: dict[str, Floats]) -> pd.DataFrame:
    """One line per rate and method: its sizes, and its mean drop with intervals."""
    lines = []
    groups = taken.groupby(["rate", "method"])
    cells = itertools.product(aggregation.rates(taken), aggregation.methods(taken))
    for rate, method in (cell for cell in cells if cell in groups.groups):
        runs = groups.get_group((rate, method))
        line = {"rate": rate, "method": method, "n": len(runs[CELL].drop_duplicates())}
        line |= runs[["achieved_reduction", "folded_reduction"]].mean().to_dict()
        pairs = zip(runs["reference"], runs["run_id"], strict=True)
        lines.append(line | estimates(runs, list(pairs), correct, runs["drop"]))
    return pd.DataFrame(lines)


def differences(taken: pd.DataFrame, correct: dict[str, Floats]) -> pd.DataFrame:
    """One line per rate and other method: `FIRST`'s accuracy minus the other's, with tests."""
    lines = []
    first = taken[taken["method"] == FIRST]
    others = [method for method in aggregation.methods(taken) if method != FIRST]
    for rate in aggregation.rates(taken):
        for other in others:
            runs = first.merge(
                taken[taken["method"] == other], on=[*CELL, "rate", "seed"], suffixes=("", "_other")
            )
            runs = runs[runs["rate"] == rate]
            if runs.empty:
                continue
            apart = runs["test_accuracy"] - runs["test_accuracy_other"]
            pairs = list(zip(runs["run_id"], runs["run_id_other"], strict=True))
            by_seed = apart.groupby([runs[name] for name in (*CELL, "seed")]).mean().unstack("seed")
            cells = by_seed.mean(axis=1)
            line = {"rate": rate, "other": other, "n": len(cells)}
            line |= estimates(runs, pairs, correct, apart)
            line["equivalent"] = equivalence(cells.to_numpy(), MARGIN)
            line["ratio"], line["differ"] = heterogeneity(by_seed.to_numpy())
            line["lowest"], line["highest"] = cells.min(), cells.max()
            line["detectable"] = detectable_effect(float(cells.std()), len(cells))
            lines.append(line)
    return pd.DataFrame(lines)


def estimates(
    runs: pd.DataFrame,
    pairs: list[tuple[str, str]],
    correct: dict[str, Floats],
    points: pd.Series,
) -> dict[str, Estimate]:
    """The mean of paired differences over cells, with the intervals of three questions.

    Args:
        runs: One line per cell and seed.
        pairs: The two runs of each line; the second is subtracted from the first.
        correct: Which test items each run classified correctly.
        points: For each line, the difference of the two accuracies.
    """
    tables = []
    for (data, _), lines in runs.reset_index(drop=True).groupby(CELL):
        of_cell = [pairs[line] for line in lines.index]
        tables.append((str(data), items.differences(correct, of_cell)))
    cells = points.groupby([runs[name] for name in CELL]).mean()
    return {
        "seeds": items.interval(tables),
        "cells": t_interval(cells.to_numpy()),
        "data sets": t_interval(cells.groupby("dataset").mean().to_numpy()),
    }


def scope(taken: pd.DataFrame) -> str:
    """Which cells are complete, said first as long as some are not."""
    cells = taken[CELL].drop_duplicates().to_numpy()
    names = ", ".join(f"{shown_name(data)} {network}" for data, network in cells)
    if len(cells) == CELLS:
        return f"{CELLS} cells (data set and network): {names}."
    return (
        f"**Not finished: {len(cells)} of {CELLS} cells (data set and network) are complete: "
        f"{names}. Nothing below holds for the others.**"
    )


def answer(against: pd.DataFrame) -> str:
    """The result of the comparison with `EARLIER`, one line per rate."""
    sentences = []
    for line in against[against["other"] == EARLIER].itertuples():
        mean = line.seeds
        if line.equivalent < 0.05:
            verdict = f"the two are equivalent within {MARGIN:g} points"
        elif mean.low > 0:
            verdict = f"`{FIRST}` is better"
        elif mean.high < 0:
            verdict = f"`{EARLIER}` is better"
        else:
            verdict = "neither is shown to be better"
        spread = (
            f"; {line.lowest:+.1f} to {line.highest:+.1f} in single cells" if line.n > 1 else ""
        )
        sentences.append(
            f"- {percent(line.rate)} of the table removed: {verdict}, {interval(mean)}{spread}."
        )
    return "\n".join(sentences)


def shown_losses(drops: pd.DataFrame) -> pd.DataFrame:
    """The table of losses as text."""
    return pd.DataFrame(
        {
            "rate": percent(line.rate),
            "method": line.method,
            "of the table": percent(line.achieved_reduction),
            "of the network": percent(line.folded_reduction),
            "drop [seeds and items]": interval(line.seeds),
            "[cells]": _edges(line.cells),
            "[data sets]": _edges(line[-1]),
            "cells": line.n,
        }
        for line in drops.itertuples()
    )


def shown_differences(against: pd.DataFrame) -> pd.DataFrame:
    """The table of differences as text."""
    return pd.DataFrame(
        {
            "rate": percent(line.rate),
            "against": line.other,
            "difference [seeds and items]": interval(line.seeds),
            "[cells]": _edges(line.cells),
            "equivalent": p_value(line.equivalent),
            "cells differ": p_value(line.differ),
            "lowest to highest": f"{line.lowest:+.1f} to {line.highest:+.1f}",
            "detectable": "—" if math.isnan(line.detectable) else f"{line.detectable:.1f}",
            "cells": line.n,
        }
        for line in against.itertuples()
    )


def by_cell(taken: pd.DataFrame) -> pd.DataFrame:
    """One line per cell and method, one column per rate: the drop and the learning rate."""
    lines = []
    for (data, network), cell in taken.groupby(CELL):
        for method in [REFERENCE, *aggregation.methods(cell)]:
            line = {"dataset": data, "network": network, "method": method}
            runs = cell[cell["method"] == method]
            for rate in aggregation.rates(taken):
                at_rate = runs[runs["rate"].isin([rate, 0])]
                drop = "" if method == REFERENCE else f"{interval(t_interval(at_rate['drop']))} "
                chosen = [f"{drop}at {upper:g}" for upper in at_rate["upper"].unique()]
                line[percent(rate)] = "".join(chosen)
            lines.append(line)
    return pd.DataFrame(lines)


def _edges(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.low) else f"[{estimate.low:.2f}, {estimate.high:.2f}]"


def drop_figure(drops: pd.DataFrame) -> Figure:
    """The mean drop of each method against the share of the table or network that it removes."""
    styles = method_styles(aggregation.methods(drops))
    drawn = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = drawn.subplots(1, 2, sharey=True)
    deepest = _deepest(estimate.mean for estimate in drops["seeds"])
    parts = {"achieved_reduction": "of the table", "folded_reduction": "of the network, folded"}
    for ax, (column, name) in zip(axes, parts.items(), strict=True):
        below = 0  # the number of means below the panel
        for method, style in styles.items():
            line = drops[drops["method"] == method].sort_values(column)
            means = np.array([estimate.mean for estimate in line["seeds"]])
            edges = np.array([[e.mean - e.low, e.high - e.mean] for e in line["seeds"]]).T
            left = 1 - line[column].to_numpy()
            ax.errorbar(left, means, yerr=edges, elinewidth=0.8, label=method, **style.line())
            for place, mean in zip(left, means, strict=True):
                if mean > deepest:
                    at = {"x": place, "y": deepest - 0.1 - 0.4 * below, "ha": "right"}
                    ax.text(**at, s=f"{mean:.1f} ↓ ", color=style.colour, fontsize=7)
                    below += 1
        ax.axhline(0, color="black", linewidth=0.8)
        ax.axhline(1, color="black", linewidth=0.8, linestyle=(0, (1, 2)))
        ax.set_xscale("log")
        ax.invert_xaxis()
        ticks = [0.5, 0.2, 0.1, 0.05, 0.025, 0.01]
        ax.set_xticks(ticks, [percent(1 - tick) for tick in ticks])
        ax.minorticks_off()
        ax.set_title(f"Removed {name}", loc="left")
    axes[0].set_ylim(deepest, min(-0.5, axes[0].get_ylim()[0]))
    axes[0].set_ylabel("Points under the reference")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return drawn


def _deepest(means: Iterable[float]) -> float:
    """The lower end of the figure of drops: the largest mean, but at most 6 points."""
    return min(6.0, max(means) + 0.5)


def cells_figure(taken: pd.DataFrame) -> Figure:
    """The difference between compression during and before training, one line per cell."""
    accuracy = taken.pivot_table("test_accuracy", [*CELL, "rate"], "method")
    apart = (accuracy[FIRST] - accuracy[EARLIER]).dropna().unstack("rate")
    drawn = Figure(figsize=(7.0, 3.2), layout="constrained")
    ax = drawn.subplots()
    places = range(len(apart.columns))
    colours = dict(zip(sorted(taken["dataset"].unique()), COLOURS, strict=False))
    for (data, network), line in apart.iterrows():
        ax.plot(
            places,
            line.to_numpy(),
            color=colours[data],
            linestyle="-" if network == "dan" else "--",
            marker="o" if network == "dan" else "s",
            markersize=3,
            label=f"{shown_name(data)}, {network}",
        )
    ax.plot(
        places, apart.mean().to_numpy(), color="black", linewidth=2.2, label="mean of the cells"
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(list(places), [percent(rate) for rate in apart.columns])
    ax.set_xlabel("Removed of the table")
    ax.set_ylabel("Points, during minus before")
    drawn.legend(loc="outside right upper", frameon=False)
    return drawn


if __name__ == "__main__":
    main()
