"""`ccompress runs`: what has been run, newest first."""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccompress.errors import InputError
from ccompress.experiment import results

_SHOWN = (
    "run_id",
    "created",
    "status",
    "dataset",
    "network",
    "method",
    "rate",
    "schedule",
    "seed",
    "test_accuracy",
    "achieved_reduction",
)


# verb of `ccompress runs` -> module with main(arguments) -> exit code
_VERBS = {"clean": "ccompress.commands.runs_clean"}


def main(arguments: Sequence[str]) -> int:
    """Print a table of the runs of a folder, or do what a verb says."""
    if arguments and arguments[0] in _VERBS:
        return int(importlib.import_module(_VERBS[arguments[0]]).main(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="ccompress runs",
        description="What has been run, newest first.",
        epilog="`ccompress runs clean` deletes what runs share and make again where they need it.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="default: results/runs")
    folder = parser.parse_args(arguments).folder
    if folder and not folder.is_dir():
        raise InputError(f"{folder} is no folder of runs")
    rows = results.collect(folder or Path("results/runs"))
    if not rows:
        print("no runs yet")
        return 0
    table = pd.DataFrame(rows)[list(_SHOWN)]
    print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}", na_rep=""))
    for row in rows:
        if row["error"]:
            print(f"{row['run_id']} failed: {row['error']}")
    return 0
