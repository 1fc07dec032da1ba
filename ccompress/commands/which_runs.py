"""The arguments with which verbs name stored runs: an experiment or a folder, and filters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ccompress.commands.arguments import Arguments
from ccompress.experiment.results import RUNS


def add_source(parser: Arguments, nargs: Literal["?"] | None) -> None:
    """Add the argument for the place of the runs; `nargs` is passed on to argparse."""
    parser.add_argument(
        "source",
        nargs=nargs,
        metavar="NAME|FOLDER",
        help=f"an experiment, read from results/NAME/{RUNS}; or a folder that holds {RUNS} or run "
        "folders" + (" (default: results/runs)" if nargs else ", such as results/runs"),
    )
    parser.completes("source", experiments)


def add_filters(parser: Arguments, more: str = "") -> None:
    """Add the argument that filters the runs."""
    parser.add_overrides(
        "filters",
        "which runs: a column of runs.csv or an option, such as dataset=sst2 rate=0.5,0.9 "
        f"status=done network.hidden=50{more}",
    )


def experiments(before: Sequence[str]) -> list[str]:
    """The experiments that have rows in this folder."""
    return [path.parent.name for path in Path("results").glob(f"*/{RUNS}")]
