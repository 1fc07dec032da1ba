"""`ccompress report`: write all tables and figures from stored runs."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccompress.commands.arguments import Arguments
from ccompress.commands.which_runs import add_filters, add_source
from ccompress.config import files
from ccompress.errors import InputError
from ccompress.experiment.results import RUNS
from ccompress.report import (
    aggregation,
    answers,
    comparisons,
    costs,
    document,
    figures,
    linear_baseline,
    provenance,
    schedule_picture,
    spectra,
    stored_runs,
    summary,
    tables,
)
from ccompress.report.document import Picture
from ccompress.report.questions import SCHEDULE, Comparison, Question, compared, questions
from ccompress.report.tables import Table

Parts = list[Table | Picture]


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "report",
        "Writes tables (Markdown, CSV) and figures (SVG, PNG) of the stored runs of an experiment "
        "or a folder, with a section for each option that was varied.",
    )
    add_source(parser, nargs=None)
    add_filters(parser, "; filters of methods and rates keep the reference")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: results/NAME, or FOLDER/report)",
    )
    parser.add_argument(
        "--within",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="the drop that the smallest model may have (default: %(default)s)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write the report of an experiment or of a folder of runs, and print its main findings."""
    given = parser().read(arguments)
    if not (math.isfinite(given.within) and given.within >= 0):
        raise InputError(f"--within {given.within}: give a number of points, 0 or more")
    source = stored_runs.locate(given.source)
    folder = source.parent if source.name == RUNS else source
    is_experiment = folder == Path("results") / given.source
    out = given.out or (folder if is_experiment else folder / "report")
    runs = stored_runs.read(source, given.filters)
    asked = questions(runs)
    ours = files.options("experiment")
    is_published = is_experiment and any(
        folder.name == name or folder.name.startswith(f"{name}-") for name in ours
    )
    baselines = linear_baseline.read(folder.resolve().parent, runs.done)
    parts = build(
        runs, asked, folder / "spectra.csv", given.within, baselines, is_published=is_published
    )
    heading = " ".join([f"Report: {folder.resolve().name}", *given.filters])
    tested = any(isinstance(part, Table) and part.tests for part in parts)
    intro = summary.what_was_run(runs, asked, tested)
    document.write(out, heading, intro, parts)
    _print(parts, intro)
    written = [out / document.PAGE, *(out / part for part in ("tables", "figures"))]
    print("written:", ", ".join(str(path) for path in written if path.exists()))
    return 0


def build(
    runs: stored_runs.Runs,
    asked: list[Question],
    spectra_file: Path,
    within: float,
    baselines: pd.DataFrame,
    *,
    is_published: bool,
) -> Parts:
    """All parts of the report in the order of the page, without those that have no data.

    The main question (which method, at which rate) is first. Then come the other questions, and
    then the details.

    Args:
        runs: The runs.
        asked: The questions that they answer.
        spectra_file: The experiment's singular values.
        within: The drop, in points, that the smallest model may have.
        baselines: The baselines of their data sets (`linear_baseline.read`).
        is_published: Whether this is an experiment of `conf/experiment`. The report on another one
            has no illustrations from the source.
    """
    main = compared(runs, asked)
    parts: Parts = [] if main.runs.empty else _main_question(main, within)
    for question in asked:
        parts.append(answers.table(question))
        if question.option == SCHEDULE and is_published:
            caption = "Learning rate against step: a cyclical schedule (CLR) and an annealed one."
            parts.append(Picture("schedules", caption, schedule_picture.figure))
    # If all runs answer other questions, the details describe those runs.
    done = runs.done if main.runs.empty else main.runs
    cells = aggregation.summarize(done)
    if not baselines.empty:
        parts.append(linear_baseline.table(baselines, cells, within))
    parts += [tables.data(done, cells), *tables.gaps(runs, done)]
    referenced = aggregation.with_reference(cells)
    if aggregation.rates(referenced):
        parts.append(tables.drops(referenced))
    if comparisons.is_tested(done):
        if len(aggregation.panels(done)) > 1:
            parts.append(summary.mean_tests(done))
        parts.append(summary.tests(done))
    if spectra_file.is_file():
        parts += _spectra(done, cells, spectra_file)
    return parts + _costs(done, cells, within, baselines, is_published=is_published)


def _main_question(main: Comparison, within: float) -> Parts:
    """The parts that answer the main question: which method, at which rate?"""
    done, cells = main.runs, aggregation.summarize(main.runs)
    several = len(aggregation.rates(done)) > 1 or len(aggregation.methods(done)) > 1
    parts: Parts = []
    if len(aggregation.rates(shown := aggregation.drawn(cells))) > 1:
        parts.append(_accuracy_picture(aggregation.drawn(done), shown, within))
    if comparisons.is_tested(done):
        parts += [summary.headline(done, cells, within), summary.standings(cells)]
    parts.append(tables.accuracy(cells, main.held))
    referenced = aggregation.with_reference(cells)
    if several and not referenced.empty:
        parts.append(tables.smallest(referenced, within))
    return parts


def _accuracy_picture(done: pd.DataFrame, cells: pd.DataFrame, within: float) -> Picture:
    interval = cells["accuracy_low"].notna().any()
    caption = (
        "Test accuracy against the share of bytes that is removed, of the embedding table and of "
        "the network as it is deployed (folded): mean over seeds"
        + (" and 95 % t-interval. " if interval else "; too few seeds for intervals. ")
    )
    if figures.has_arrows(cells, within):
        caption += (
            "An arrow: a line that goes on under its panel, to the accuracy that is named, more "
            f"than {figures.DEEPEST:g} points under the reference. "
        )
    caption += _provenance(done)
    picture = functools.partial(figures.accuracy_against_rate, done, cells, within)
    return Picture("accuracy_vs_rate", caption, picture)


def _provenance(done: pd.DataFrame) -> str:
    return " ".join(provenance.notes(done)).replace("`", "")


def _spectra(done: pd.DataFrame, cells: pd.DataFrame, spectra_file: Path) -> Parts:
    """The parts about the singular values of the tables."""
    values = spectra.read(spectra_file, done)
    energies = spectra.kept(values, done, cells)
    if energies.empty:
        return []
    seeds = spectra.averaged(values)
    before_after = f"before and after training, {seeds}"
    caption = (
        f"Singular values of the embedding table {before_after}. Thin lines: the rank at that "
        f"rate. {_provenance(done)}"
    )
    draw = functools.partial(spectra.spectrum_figure, values, done, energies)
    parts: Parts = [spectra.table(energies, seeds), Picture("spectra", caption, draw)]
    if len(aggregation.rates(done)) > 1:
        caption = (
            "Relative error of the best approximation of the table of each rate's rank, "
            f"{before_after}. {_provenance(done)}"
        )
        draw = functools.partial(spectra.error_figure, done, energies)
        parts.append(Picture("reconstruction", caption, draw))
    return parts


def _costs(
    done: pd.DataFrame,
    cells: pd.DataFrame,
    within: float,
    baselines: pd.DataFrame,
    *,
    is_published: bool,
) -> Parts:
    """The parts about bytes, operations, time and memory, and about accuracy against them."""
    measured = aggregation.measure(done)
    parts: Parts = [costs.sizes(cells, is_published=is_published), costs.costs(cells, measured)]
    done, cells = aggregation.drawn(done), aggregation.drawn(cells)
    if len(aggregation.rates(done)) > 1:
        points = f"one point a method and rate, mean over seeds. {_provenance(done)}"
        deployed = "the network as it is deployed (folded)"
        column, _ = aggregation.shipped(cells)
        if cells[column].notna().any():
            what = "the model file" if column == "file_bytes" else deployed
            caption = f"Test accuracy against the bytes of {what}: {points}"
            if not baselines.empty:
                caption += f" {linear_baseline.LABEL}: chosen on dev, one for each size."
            draw = functools.partial(figures.accuracy_against_bytes, done, cells, within, baselines)
            parts.append(Picture("accuracy_vs_bytes", caption, draw))
        caption = f"Test accuracy against the latency of {deployed}, for one sentence: {points}"
        draw = functools.partial(figures.accuracy_against_latency, done, cells, measured, within)
        parts.append(Picture("accuracy_vs_latency", caption, draw))
    return parts


def _print(parts: Parts, intro: list[str]) -> None:
    """Print a short form of the report: what was run, and the main findings."""
    paragraphs = ["\n".join(intro)]
    for part in parts:
        if isinstance(part, Table) and part.printed:
            paragraphs.append(part.title)
            for heading, block in part.shown.items():
                paragraphs.append(f"{heading}\n" * bool(heading) + _printed(block))
    paragraphs += [p.note for p in parts if isinstance(p, Table) and p.name == "summary"]
    print("\n\n".join(paragraphs).replace("`", ""), end="\n\n")


def _printed(block: pd.DataFrame) -> str:
    """A table as text. Commands are long, so their column begins where its name does."""
    if "command" in block:
        wide = block["command"].str.len().max()
        commands = {"command".ljust(wide): block["command"].str.ljust(wide)}
        block = block.drop(columns="command").assign(**commands)
    text: str = block.to_string(index=False)
    return text
