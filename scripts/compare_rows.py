#!/usr/bin/env python
"""Hold runs of one's own against the committed rows of the same runs, cell by cell.

Training repeats to the last digit only on the same processor; on another one rounding differs, and
with it the training, as with another seed. So a cell agrees where the mean of its runs lies within
the 95 % prediction interval that the committed seeds give for the mean of so many further seeds:
committed mean -+ t s sqrt(1/m + 1/n), with s the standard deviation over n committed seeds, t that
of n - 1 degrees of freedom, and m runs.

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
    """Print a line for each cell and what they come to, and write them as a page."""
    ours, committed = (pd.read_csv(path, dtype={"run_id": str}) for path in (runs, COMMITTED))
    table = compared(ours[ours["status"] == "done"], committed[committed["status"] == "done"])
    print(table.to_string(index=False))
    print(f"\n{conclusion(table)}")
    head = f"# Held against {COMMITTED.relative_to(COMMITTED.parents[2])}\n\n"
    page.write_text(f"{head}{conclusion(table)}\n\n{markdown(table)}\n", encoding="utf-8")


def compared(ours: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """A line for each cell: test accuracy in percent here and as committed, and how they agree."""
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
        there = by_run[accuracies.index]
        seeds = by_cell.get_group(cell)
        reach = prediction(seeds, len(accuracies))
        off = accuracies.mean() - seeds.mean()
        verdict = WITHIN if abs(off) <= reach else OUTSIDE
        lines.append(
            line
            | {
                "same seeds": f"{there.mean():.2f}",
                "difference": f"{accuracies.mean() - there.mean():+.2f}",
                "all seeds": f"{seeds.mean():.2f} ± {reach:.2f}",
                "agrees": SAME if (accuracies == there).all() else verdict,
            }
        )
    return pd.DataFrame(lines).fillna("")


def prediction(seeds: pd.Series, further: int) -> float:
    """Half the 95 % prediction interval for the mean of `further` runs, from those of n seeds."""
    n = len(seeds)
    t = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(t * seeds.std(ddof=1) * math.sqrt(1 / further + 1 / n))


def conclusion(table: pd.DataFrame) -> str:
    """How many cells agree."""
    number = table["agrees"].value_counts()
    known = len(table) - number.get(UNKNOWN, 0)
    said = (
        f"{known} cells: {number.get(SAME, 0)} the same to the last digit, {number.get(WITHIN, 0)}"
        f" within what other seeds would do (95 %), {number.get(OUTSIDE, 0)} outside of it; chance"
        " alone puts one in twenty there."
    )
    if other := number.get(UNKNOWN, 0):
        said += f" {other} more have no committed row of the same configuration."
    return said


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
