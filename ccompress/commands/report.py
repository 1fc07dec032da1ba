"""`ccompress report`: every table and figure, from stored runs alone."""

import argparse
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccompress.errors import InputError
from ccompress.experiment.results import RUNS
from ccompress.report import (
    cells,
    costs,
    document,
    figures,
    provenance,
    rows,
    schedules,
    spectra,
    summary,
    tables,
)
from ccompress.report.document import Picture
from ccompress.report.tables import Table


def main(arguments: Sequence[str]) -> int:
    """Write the report of an experiment or of a folder of runs, and print what it finds."""
    parser = argparse.ArgumentParser(
        prog="ccompress report",
        description="Tables (Markdown, CSV) and figures (SVG, PNG) from stored runs.",
    )
    parser.add_argument(
        "source",
        metavar="NAME|FOLDER",
        help=f"an experiment, read from results/NAME/{RUNS}; or a folder that holds {RUNS} or "
        "run folders, such as results/runs",
    )
    parser.add_argument(
        "--out", type=Path, help="where to write; default: results/NAME, or FOLDER/report"
    )
    parser.add_argument(
        "--within",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="the drop that the smallest model may have (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    if not (math.isfinite(given.within) and given.within >= 0):
        raise InputError(f"--within {given.within}: give a number of points, 0 or more")
    source, name, default_out = locate(given.source)
    out = given.out or default_out
    runs = rows.read(source)
    table = cells.cells(runs.done)
    folder = source if source.is_dir() else source.parent
    parts = build(runs, table, folder / "spectra.csv", given.within)
    document.write(out, f"Report: {name}", parts)
    _print(parts, runs, table)
    written = [out / document.PAGE, *(out / part for part in ("tables", "figures"))]
    print("written:", ", ".join(str(path) for path in written if path.exists()))
    return 0


def locate(source: str) -> tuple[Path, str, Path]:
    """Where the runs are, what the report is called, and where it goes if nobody says.

    Raises:
        InputError: `source` is neither an experiment with stored runs nor a folder.
    """
    experiment = Path("results") / source
    if Path(source).name == source and (experiment / RUNS).is_file():
        return experiment / RUNS, source, experiment
    folder = Path(source)
    if (folder / RUNS).is_file():
        return folder / RUNS, folder.resolve().name, folder / "report"
    if folder.is_dir():
        return folder, folder.resolve().name, folder / "report"
    known = sorted(path.parent.name for path in Path("results").glob(f"*/{RUNS}"))
    raise InputError(
        f"{source!r} is neither a folder nor an experiment with runs in {experiment / RUNS}; "
        + (f"experiments here: {', '.join(known)}" if known else "no experiment has runs here")
    )


def build(
    runs: rows.Runs, table: pd.DataFrame, spectra_file: Path, within: float
) -> list[Table | Picture]:
    """All parts of the report, in the order of the page; those without any data are left out."""
    done = runs.done
    told = " ".join(provenance.notes(done)).replace("`", "")
    draw = functools.partial
    parts: list[Table | Picture] = []
    if len(cells.rates(done)) > 1:
        caption = (
            "Test accuracy against the achieved reduction of the embedding table: mean and 95 % "
            "t-interval over seeds. A line that leaves a panel goes on more than "
            f"{figures.DEEPEST:g} points under the reference. {told}"
        )
        picture = draw(figures.accuracy_against_rate, done, table, within)
        parts.append(Picture("accuracy_vs_rate", caption, picture))
    if len(cells.methods(done)) > 1:
        parts += [summary.headline(runs, table), summary.standings(table)]
    parts += [tables.accuracy(table), tables.data(runs, table)]
    if len(cells.rates(done)) * len(cells.methods(done)) > 1:
        parts.append(tables.smallest(table, within))
    parts += tables.gaps(runs)
    if cells.rates(done):
        parts.append(tables.drops(table))
    if len(cells.methods(done)) > 1:
        if len(cells.panels(done)) > 1:
            parts.append(summary.mean_tests(runs))
        parts.append(summary.tests(runs))
    if done["schedule"].nunique() > 1:
        caption = "Learning rate against step: the cyclical schedule (CLR) beside the annealed one."
        parts += [summary.schedules(runs, table), Picture("schedules", caption, schedules.figure)]
    if spectra_file.is_file():
        values = spectra.read(spectra_file, done)
        found = spectra.kept(values, done, table)
        if not found.empty:
            of = spectra.averaged(values)
            before_after = f"before and after training, {of}"
            parts += [
                spectra.table(found, of),
                Picture(
                    "spectra",
                    f"Singular values of the embedding table {before_after}. Thin lines: the rank "
                    f"at that rate. {told}",
                    draw(spectra.spectrum_figure, values, done, found),
                ),
            ]
            if len(cells.rates(done)) > 1:
                caption = (
                    "Relative error of the best approximation of the table of each rate's rank, "
                    f"{before_after}. {told}"
                )
                picture = draw(spectra.error_figure, done, found)
                parts.append(Picture("reconstruction", caption, picture))
    parts += [costs.sizes(table), costs.costs(runs, table)]
    if len(cells.rates(done)) > 1:
        caption = "Test accuracy against {}: one point a method and rate, mean over seeds. " + told
        parts += [
            Picture(
                "accuracy_vs_bytes",
                caption.format("the bytes of the embedding"),
                draw(figures.accuracy_against_bytes, done, table, within),
            ),
            Picture(
                "accuracy_vs_latency",
                caption.format("the latency of one sentence"),
                draw(figures.accuracy_against_latency, done, table, within),
            ),
        ]
    return parts


def _print(parts: list[Table | Picture], runs: rows.Runs, table: pd.DataFrame) -> None:
    """The findings in short, on standard output."""
    for part in parts:
        if isinstance(part, Table) and part.name in ("accuracy", "smallest", "missing", "failed"):
            print(f"{part.title}\n")
            for block in part.shown.values():
                print(block.to_string(index=False).replace("`", ""), end="\n\n")
    for sentence in summary.sentences(runs, table):
        print(sentence.replace("`", ""))
