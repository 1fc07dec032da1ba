#!/usr/bin/env python
"""What the drop on trec becomes when every method has a learning rate of its own.

In the paper's grid all methods share the rate that was chosen for the reference. Here the rule of
`choose_rates` is applied to each method, the reference among them, by accuracy on dev; test is read
at the chosen rates only.

    ccompress -m +experiment=own_rates   # the trainings
    scripts/own_rates.py                 # the tables, results/own_rates/README.md
"""

from pathlib import Path

import choose_rates
import pandas as pd

from ccompress.report.cells import methods
from ccompress.report.document import markdown
from ccompress.report.rows import REFERENCE
from ccompress.report.statistics import Estimate, t_interval

RUNS = Path(__file__).parents[1] / "results" / "own_rates" / "runs.csv"
BY = ["network", "method"]

HEAD = """# A learning rate of its own for every method

{datasets} at {rate:.0%}, {seeds} seeds, CALR, vectors {vectors}: each method at the five upper
learning rates of `results/tuning`. Accuracy on dev in percent, mean of the seeds; chosen (bold), by
the same rule for all, is the smallest rate within {within:g} points of the best. Made by
`scripts/own_rates.py` from `runs.csv`.

"""
BETWEEN = """
On test, in points under the reference at the reference's own rate, paired by seed, with the 95 %
t-interval over seeds: at that same rate, as in `results/paper`, and at the method's own. A rate of
its own that is the largest of the grid may not be the best there is.

"""


def main() -> None:
    """Write the tables and print them."""
    runs = choose_rates.read(RUNS)
    dev = runs.pivot_table("dev_accuracy", BY, "upper", aggfunc="mean")
    dev = dev.reindex([REFERENCE, *methods(runs)], level="method")
    head = HEAD.format(
        datasets=", ".join(runs["dataset"].unique()),
        rate=runs["rate"].max(),
        seeds=runs["seed"].nunique(),
        vectors=", ".join(runs["vectors"].unique()),
        within=choose_rates.WITHIN,
    )
    chosen, left = choose_rates.marked(dev), drops(runs, dev)
    text = head + markdown(chosen) + "\n" + BETWEEN + markdown(left) + "\n"
    RUNS.with_name("README.md").write_text(text, encoding="utf-8")
    print(text)


def drops(runs: pd.DataFrame, dev: pd.DataFrame) -> pd.DataFrame:
    """The drop of each method at the reference's rate and at its own, against one reference."""
    test = runs.set_index([*BY, "upper", "seed"])["test_accuracy"].sort_index()
    lines = []
    for network, rows in dev.groupby(level="network"):
        own = {cell[1]: choose_rates.chosen(row) for cell, row in rows.iterrows()}
        common = own[REFERENCE]
        reference = test[network, REFERENCE, common]
        for method in own:
            drop = {
                upper: t_interval((reference - test[network, method, upper]).to_numpy())
                for upper in {common, own[method]}
            }
            lines.append(
                {
                    "network": network,
                    "method": method,
                    "at the reference's rate": _shown(drop[common]),
                    "own rate": f"{own[method]:g}",
                    "at its own rate": _shown(drop[own[method]]),
                }
            )
    return pd.DataFrame(lines)


def _shown(drop: Estimate) -> str:
    return f"{drop.mean:.2f} [{drop.low:.2f}, {drop.high:.2f}]"


if __name__ == "__main__":
    main()
