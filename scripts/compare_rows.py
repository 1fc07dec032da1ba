#!/usr/bin/env python
"""Compare your own runs with the committed rows of the same runs, cell by cell.

Training repeats to the last digit only on the same processor. Another processor rounds differently,
which changes the training as much as another seed does. So a cell agrees if the mean of its m runs
is inside the 95 % prediction interval for m further seeds. With n committed seeds of standard
deviation s, this interval is: committed mean +- t s sqrt(1/m + 1/n), where t has n - 1 degrees of
freedom.

    scripts/compare_rows.py RUNS.csv PAGE.md
"""

import math
import sys
from pathlib import Path

import pandas as pd
from scipy import stats

from ccompress.report.document import markdown
from ccompress.report.statistics import CONFIDENCE

COMMITTED = Path(__file__).parents[1] / "results" / "paper" / "runs.csv"
CELL = ["dataset", "network", "schedule", "method", "rate"]
SAME, WITHIN, OUTSIDE, UNKNOWN = "the same", "within", "OUTSIDE", "no such row"


def main(runs: Path, page: Path) -> None:
    """Print a line per cell and a conclusion, and write both as a page."""
    ours, committed = (pd.read_csv(path, dtype={"run_id": str}) for path in (runs, COMMITTED))
    table = compared(ours[ours["status"] == "done"], committed[committed["status"] == "done"])
    print(table.to_string(index=False))
    print(f"\n{conclusion(table)}")
    head = f"# Comparison with {COMMITTED.relative_to(COMMITTED.parents[2])}\n\n"
    page.write_text(f"{head}{conclusion(table)}\n\n{markdown(table)}\n", encoding="utf-8")


def compared(ours: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """One line per cell: our test accuracy and the committed one in percent, and the verdict."""
    by_run = committed.set_index("run_id")["test_accuracy"]
    by_cell = committed.groupby(CELL)["test_accuracy"]
    lines = []
    for cell, runs in ours.groupby(CELL):
        accuracies = runs.set_index("run_id")["test_accuracy"]
        line = dict(zip(CELL, cell, strict=True)) | {
            "runs": len(accuracies),
            "here": f"{accuracies.mean():.2f}",
        }
        if not accuracies.index.isin(by_run.index).all():
            lines.append(line | {"agrees": UNKNOWN})
            continue
        committed_accuracies = by_run[accuracies.index]
        seeds = by_cell.get_group(cell)
        half_width = prediction(seeds, len(accuracies))
        deviation = accuracies.mean() - seeds.mean()
        verdict = WITHIN if abs(deviation) <= half_width else OUTSIDE
        lines.append(
            line
            | {
                "same seeds": f"{committed_accuracies.mean():.2f}",
                "difference": f"{accuracies.mean() - committed_accuracies.mean():+.2f}",
                "all seeds": f"{seeds.mean():.2f} ± {half_width:.2f}",
                "agrees": SAME if (accuracies == committed_accuracies).all() else verdict,
            }
        )
    return pd.DataFrame(lines).fillna("")


def prediction(seeds: pd.Series, further: int) -> float:
    """Half the width of the 95 % prediction interval for the mean of `further` more seeds."""
    n = len(seeds)
    t = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(t * seeds.std(ddof=1) * math.sqrt(1 / further + 1 / n))


def conclusion(table: pd.DataFrame) -> str:
    """A sentence that says how many cells agree."""
    number = table["agrees"].value_counts()
    known = len(table) - number.get(UNKNOWN, 0)
    sentence = (
        f"{known} cells: {number.get(SAME, 0)} equal to the last digit, {number.get(WITHIN, 0)}"
        f" within the 95 % range of other seeds, {number.get(OUTSIDE, 0)} outside of it; chance"
        " alone puts one in twenty outside."
    )
    if other := number.get(UNKNOWN, 0):
        sentence += f" {other} more have no committed row of the same configuration."
    return sentence


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
