#!/usr/bin/env python
"""Repeat the paper's comparison with a separate learning rate for each method.

In the paper's grid all methods share the rate that was chosen for the reference. This script
applies the rule of `choose_rates` to each method, including the reference, on dev accuracy. It
reads test at the shared and at the chosen rates only.

    ccompress -m +experiment=own_rates   # the trainings
    scripts/own_rates.py                 # the tables and the figure, results/own_rates/README.md
"""

import functools
from pathlib import Path

import choose_rates
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ccompress.report import aggregation, comparisons, stored_runs
from ccompress.report.document import Picture, markdown, write_figure
from ccompress.report.figures import DEEPEST
from ccompress.report.provenance import shown_name
from ccompress.report.statistics import Estimate, t_interval
from ccompress.report.stored_runs import PANEL, REFERENCE
from ccompress.report.style import REFERENCE_COLOUR, method_styles
from ccompress.report.summary import p_value
from ccompress.report.tables import interval, percent

RUNS = Path(__file__).parents[1] / "results" / "own_rates" / "runs.csv"
METHOD = ["dataset", "network", "method"]

HEAD = """# A learning rate of its own for every method

In `results/paper` every method trains at the learning rate that was chosen for the reference.
Here each method chooses its own among {count} upper rates of CALR ({grid}), by the rule of
`results/tuning`: the smallest rate within {within:g} points of the best on dev, averaged over
seeds. Vectors: {vectors}; `books` is synthetic. `scripts/own_rates.py` writes this page from
`runs.csv`.

How to read the table:

- *at*: the share of the embedding table's bytes that is removed. *of the network*: the share that
  is then removed of the network as it is deployed (folded), averaged over the cells.
- *drop*: points under the reference on test, averaged over the cells, with the 95 % t-interval
  over seeds.
- *difference*: `{first}` minus the method, with a paired t-test over seeds (Holm's correction
  over the methods).
- *better*, *worse*: the number of cells in which `{first}` is significantly better or worse,
  corrected over all cells and methods of that choice of rates.
- *shared*: every method uses the reference's rate in `results/paper`. *own*: each method, the
  reference included, uses its own.
- The best other method of a cell is the best one on test, which favours it.

Some cells mix two processors: the rows of commit a5db178d5aa2 come from an Intel Xeon, all others
from an AMD EPYC. Their rounding differs, so pairing by seed removes less noise there.

"""
SECTION = """
## At {rate} of the table

![Drop at {rate} of the table](figures/{figure}.svg)

*Points under the reference at {rate} of the table, mean of {seeds} seeds with the 95 % t-interval.
An arrow marks a mean that lies outside the figure; its interval is in the table.*

The table shows points under the reference on test, paired by seed, with the 95 % t-interval and
the upper learning rate. The reference's own rate may differ from the shared one, which was chosen
with two seeds from a grid that ended at 0.008.

"""
DEV = """
<details><summary>How the rates were chosen</summary>

Accuracy on dev in percent, mean of {seeds} seeds. The chosen rate is in bold. Where it is the
largest of the grid, a larger one might be better.

"""


def main() -> None:
    """Write the page and its figures, and print the page."""
    runs = choose_rates.read(RUNS).assign(
        data=lambda frame: frame["dataset"], folded_reduction=stored_runs.folded_reduction
    )
    page, means = "", []
    for rate in aggregation.rates(runs):
        at_rate = runs[runs["rate"].isin([0, rate])]
        at_rate = at_rate[at_rate["seed"].isin(at_rate.loc[at_rate["rate"] == rate, "seed"])]
        dev = at_rate.pivot_table("dev_accuracy", METHOD, "upper", aggfunc="mean")
        dev = dev.reindex([REFERENCE, *aggregation.methods(at_rate)], level="method")
        rates = {"shared": shared_rates(dev.index), "own": dev.apply(choose_rates.chosen, axis=1)}
        runs_by_choice = {choice: at(at_rate, chosen) for choice, chosen in rates.items()}
        facts = {
            "rate": percent(rate),
            "figure": f"drops_{100 * rate:g}",
            "seeds": at_rate["seed"].nunique(),
        }
        means.append(averages(runs_by_choice))
        page += SECTION.format(**facts) + markdown(by_cell(runs_by_choice, rates)) + "\n"
        page += DEV.format(**facts) + markdown(choose_rates.marked(dev)) + "\n\n</details>\n"
        picture = Picture(facts["figure"], "", functools.partial(figure, runs_by_choice))
        write_figure(RUNS.parent / "figures", picture)
    head = HEAD.format(
        count=runs["upper"].nunique(),
        grid=", ".join(f"{upper:g}" for upper in sorted(runs["upper"].unique())),
        within=choose_rates.WITHIN,
        vectors=", ".join(sorted(runs["vectors"].unique())),
        first=aggregation.methods(runs)[0],
    )
    page = head + markdown(pd.concat(means)) + "\n" + page
    RUNS.with_name("README.md").write_text(page, encoding="utf-8")
    print(page)


def shared_rates(index: pd.MultiIndex) -> pd.Series:
    """The paper's rate, from `results/tuning`, for each data set, network and method."""
    tuned = choose_rates.accuracies(choose_rates.RUNS).xs(comparisons.SCHEDULE, level="schedule")
    of_reference = tuned.apply(choose_rates.chosen, axis=1)
    return pd.Series(of_reference[index.droplevel("method")].to_numpy(), index)


def at(runs: pd.DataFrame, rates: pd.Series) -> pd.DataFrame:
    """The runs of each data set, network and method at its rate, with their `drop` in points.

    Args:
        runs: All runs.
        rates: The upper learning rate of each data set, network and method.

    Raises:
        KeyError: A seed has no run of the reference at the reference's rate.
    """
    chosen = runs.merge(rates.rename("upper").reset_index(), on=[*METHOD, "upper"])
    drop = stored_runs.drop(chosen)
    if drop.isna().any():
        unpaired = chosen.loc[drop.isna(), [*METHOD, "seed"]].iloc[0].tolist()
        raise KeyError(f"{unpaired} has no run of the reference at the reference's rate")
    return chosen.assign(drop=drop)


def averages(runs_by_choice: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One line per method and choice of rates: its mean drop, and its comparison with the first."""
    lines = []
    for choice, runs in runs_by_choice.items():
        means = comparisons.mean_comparisons(runs).set_index("other")
        tests = comparisons.comparisons(runs)
        (rate,) = aggregation.rates(runs)
        drops = {}
        for method in aggregation.methods(runs):
            everywhere = [(*panel, method) for panel in aggregation.panels(runs).to_numpy()]
            drops[method] = comparisons.mean_drop(runs, rate, everywhere)
        first = aggregation.methods(runs)[0]
        cells = aggregation.summarize(runs)
        removed = cells.groupby("method")["folded_reduction"].mean()
        best = comparisons.best_others(cells, rate, first)
        chosen = best[[*PANEL, "method_other"]].itertuples(index=False, name=None)
        drops["best other of each cell"] = comparisons.mean_drop(runs, rate, chosen)
        for method, drop in drops.items():
            line = {"at": percent(rate), "n": drop.n, "rates": choice, "method": method}
            line |= {"of the network": percent(removed[method]) if method in removed else ""}
            line |= {"drop": interval(drop), "difference": "", "p (Holm)": ""}
            line |= {"better": "", "worse": ""}
            if method in means.index:
                test = means.loc[method]
                verdicts = tests.loc[tests["other"] == method, "verdict"]
                apart = Estimate(test["difference"], test["low"], test["high"], test["n"])
                line |= {"difference": interval(apart), "p (Holm)": p_value(test["p_holm"])}
                line |= {verdict: (verdicts == verdict).sum() for verdict in ("better", "worse")}
            lines.append(line)
    return pd.DataFrame(lines)


def by_cell(runs_by_choice: dict[str, pd.DataFrame], rates: dict[str, pd.Series]) -> pd.DataFrame:
    """One line per data set, network and method: its drop at each choice of rates."""
    drops = {choice: runs.groupby(METHOD)["drop"] for choice, runs in runs_by_choice.items()}
    lines = []
    for cell in rates["own"].index:
        line = dict(zip(METHOD, cell, strict=True))
        for choice, upper in rates.items():
            drop = interval(t_interval(drops[choice].get_group(cell).to_numpy()))
            shown = "" if line["method"] == REFERENCE else f"{drop} "
            line[choice] = f"{shown}at {upper[cell]:g}"
        lines.append(line)
    return pd.DataFrame(lines)


def figure(runs_by_choice: dict[str, pd.DataFrame]) -> Figure:
    """The drop of every method in every cell, with one panel per choice of rates."""
    first = next(iter(runs_by_choice.values()))
    panels, methods = aggregation.panels(first), aggregation.methods(first)
    styles = method_styles(methods)
    drawn = Figure(figsize=(7.0, 0.4 * len(panels) + 0.9), layout="constrained")
    axes = drawn.subplots(1, len(runs_by_choice), sharex=True, sharey=True)
    for ax, (choice, runs) in zip(axes, runs_by_choice.items(), strict=True):
        drops = runs.groupby([*PANEL, "method"])["drop"]
        for line, panel in enumerate(panels.itertuples(index=False, name=None)):
            for place, method in enumerate(methods):
                estimate = t_interval(drops.get_group((*panel, method)).to_numpy())
                reach = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
                height = line + 0.24 * (place - (len(methods) - 1) / 2)
                style = styles[method].points()
                if estimate.mean > DEEPEST:
                    where = {"x": DEEPEST - 0.1, "y": height, "ha": "right", "va": "center"}
                    ax.text(**where, s=f"{estimate.mean:.1f} →", color=style["color"], fontsize=7)
                    continue
                ax.errorbar(estimate.mean, height, xerr=reach, elinewidth=0.8, **style)
        ax.axvline(0, color=REFERENCE_COLOUR, linewidth=0.8)
        ax.axvline(1, color=REFERENCE_COLOUR, linewidth=0.8, linestyle=(0, (1, 2)))
        ax.grid(False, axis="y")
        ax.set_title(f"{choice} learning rate", loc="left")
    names = [f"{shown_name(data)}, {network}" for data, network, _ in panels.to_numpy()]
    axes[0].set_yticks(range(len(panels)), names)
    axes[1].tick_params(axis="y", left=False)
    axes[0].set_ylim(len(panels) - 0.5, -0.5)
    axes[0].set_xlim(right=min(axes[0].get_xlim()[1], DEEPEST))
    drawn.supxlabel("Points under the reference (dotted: one point)", fontsize=8.5)
    marks = [Line2D([], [], **styles[method].points(), label=method) for method in methods]
    drawn.legend(handles=marks, loc="outside upper center", ncols=len(marks), frameon=False)
    return drawn


if __name__ == "__main__":
    main()
