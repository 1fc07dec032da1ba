#!/usr/bin/env python
"""Choose the upper learning rates of conf/train from results/tuning/runs.csv, by one rule.

For each data set, network and schedule, choose the smallest rate whose dev accuracy, averaged over
seeds, is within half a point of the best. Only the reference (`method=none`) was trained, and only
dev is read. Half a point is well inside the sampling error of dev (about 1.3 points on sst2). Among
rates that dev cannot distinguish, the smallest overfits last.

    ccompress -m +experiment=tuning      # the trainings
    scripts/choose_rates.py              # the table, results/tuning/README.md
"""

import shlex
from pathlib import Path

import pandas as pd

from ccompress.experiment import results
from ccompress.report.document import markdown

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "results" / "tuning" / "runs.csv"
WITHIN = 0.5  # points
CELL = ["dataset", "network", "schedule"]

HEAD = """# How the learning rates were chosen

The table shows the uncompressed network's accuracy on dev in percent, averaged over seeds, for
each upper learning rate of each schedule. The chosen rate (bold) is the smallest one within
{within:g} points of the best; every method then uses it. Vectors: {vectors}; `books` is
synthetic.

The number of epochs (4 to 20) and sst2 dan's dropout of 0.2 are older than this sweep. They were
set on dev in trial runs that were not kept.

`scripts/choose_rates.py` writes this page from `runs.csv`.

"""


def main() -> None:
    """Write the table and print it."""
    table = accuracies(RUNS)
    vectors = ", ".join(sorted(pd.read_csv(RUNS)["vectors"].unique()))
    text = HEAD.format(within=WITHIN, vectors=vectors) + markdown(marked(table)) + "\n"
    (RUNS.parent / "README.md").write_text(text, encoding="utf-8")
    print(text)


def accuracies(runs: Path) -> pd.DataFrame:
    """Mean dev accuracy: one row per data set, network and schedule; one column per rate."""
    return read(runs).pivot_table("dev_accuracy", CELL, "upper", aggfunc="mean")


def read(runs: Path) -> pd.DataFrame:
    """The finished runs of a file, with the upper learning rate in the column `upper`."""
    frame = pd.read_csv(runs).reindex(columns=list(results.COLUMNS))  # older rows lack some
    frame["upper"] = [upper_rate(line) for line in frame["overrides"]]
    return frame[frame["status"] == "done"]


def upper_rate(line: str) -> float:
    """The upper learning rate in a run's command line."""
    key = "schedule.upper="
    return next(float(w.removeprefix(key)) for w in shlex.split(line) if w.startswith(key))


def chosen(row: pd.Series) -> float:
    """The smallest rate within half a point of the best; `row` holds rate -> dev accuracy."""
    return float(row[row >= row.max() - WITHIN].index.min())


def marked(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text, with the chosen rates in bold."""
    lines = []
    for cell, row in table.iterrows():
        assert isinstance(cell, tuple)
        best = chosen(row)
        shown = {f"{rate:g}": f"{v:.2f}" for rate, v in row.items()}
        shown[f"{best:g}"] = f"**{row[best]:.2f}**"
        lines.append(dict(zip(table.index.names, cell, strict=True)) | shown)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
