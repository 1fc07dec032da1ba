"""The baseline without embeddings beside the runs of its data set.

`ccompress baseline` writes its models of all sizes to `baseline/DATASET/baseline.csv` in the folder
of results. A report reads those of its data sets. They have no seed, no network and no rate, so
they never enter a mean; they have a table of their own, and a line in the figure of bytes.
"""

from pathlib import Path

import pandas as pd

from ccompress.errors import InputError
from ccompress.report import aggregation
from ccompress.report.stored_runs import PANEL, REFERENCE
from ccompress.report.tables import Table, named, number, points, size, text

FOLDER = "baseline"
FILE = "baseline.csv"
LABEL = "TF-IDF + linear (baseline, whole file)"
# What a baseline's rows and those of runs have in common if they are of the same texts.
IDENTITY = ["dataset", "classes", "train_size", "dev_size", "test_size"]
_NEEDED = [*IDENTITY, "file_bytes", "dev_accuracy", "test_accuracy", "features", "classifier"]


def read(results_dir: Path, done: pd.DataFrame) -> pd.DataFrame:
    """The baselines of the data sets of finished runs, smallest file first; empty without any.

    A baseline of other texts than the runs' is left out: its splits have other sizes.

    Args:
        results_dir: The folder of results.
        done: The finished runs.

    Returns:
        The rows of baseline.csv with the column `data` of the runs.

    Raises:
        InputError: A file is not a table, or lacks a column.
    """
    of_runs = done[["data", *IDENTITY]].drop_duplicates()
    tables = [pd.DataFrame(columns=["data", *_NEEDED])]
    for name in sorted(of_runs["dataset"].unique()):
        path = results_dir / FOLDER / name / FILE
        if path.is_file():
            tables.append(of_runs.merge(_rows(path), on=IDENTITY))
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _rows(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path)
    except ValueError as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a table of baselines: {reason}") from error
    if lost := [name for name in _NEEDED if name not in rows]:
        raise InputError(
            f"{path} lacks the columns {', '.join(lost)}: run ccompress baseline again"
        )
    return rows.sort_values("file_bytes")


def table(baselines: pd.DataFrame, cells: pd.DataFrame, within: float) -> Table:
    """The baselines of each data set beside its networks.

    Args:
        baselines: The result of `read`.
        cells: The result of `aggregation.summarize` for the runs.
        within: The drop, in points, that the smallest models may have.
    """
    best = baselines.drop_duplicates("data", keep="last").set_index("data")
    smallest = aggregation.smallest_within(cells, within).set_index(PANEL)
    column, shipped = aggregation.shipped(cells)
    lines, shown = [], []
    for _, panel in cells.groupby(PANEL, sort=False):
        first = panel.iloc[0]
        if first["data"] not in best.index:
            continue
        chosen = best.loc[first["data"]]
        reference = panel.loc[panel["method"] == REFERENCE, "accuracy"].mean()
        near = baselines[baselines["data"] == first["data"]]
        near = near[near["test_accuracy"] >= reference - within]
        line = {
            **first[PANEL].to_dict(),
            "accuracy": chosen["test_accuracy"],
            "file_bytes": chosen["file_bytes"],
            "reference": reference,
            "difference": chosen["test_accuracy"] - reference,
            "smallest_near": near["file_bytes"].min(),
            "smallest_network": smallest[column].get(tuple(first[PANEL])),
        }
        lines.append(line)
        shown.append(
            {
                **named(first),
                "baseline": number(line["accuracy"], ".1f"),
                "its file": size(line["file_bytes"]),
                REFERENCE: number(reference, ".1f"),
                "difference": number(line["difference"], "+.1f"),
                f"baseline within {points(within)}": size(line["smallest_near"]),
                f"network within {points(within)}": size(line["smallest_network"]),
            }
        )
    note = (
        "TF-IDF of words and word pairs with a linear classifier (`ccompress baseline`): it reads "
        "no vectors, has no seed and enters no mean of this report. *Baseline* is the one that is "
        f"best on dev, *difference* its test accuracy minus that of `{REFERENCE}`, in points. The "
        f"last two are the smallest that lose at most {points(within)} against `{REFERENCE}` on "
        f"test: of the baselines by their whole file, of the networks by their {shipped}."
    )
    heading = "The baseline without embeddings"
    return Table("baseline", heading, note, pd.DataFrame(lines), {"": text(shown)}, True)
