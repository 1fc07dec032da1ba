"""The output of a finished sweep: its data, and a comparison of each setting with its reference."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ccompress.experiment import console, results
from ccompress.experiment.jobs import Job

_MOST = 40  # the number of settings that fit on a screen
Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Pair:
    """A finished run and its reference, if it is known."""

    job: Job
    row: Row
    reference: Row | None


def show(jobs: Sequence[Job], rows: Mapping[str, Row], references: Mapping[str, Row]) -> None:
    """Print the results of a sweep: the data, and one line per setting, averaged over seeds.

    A sweep trains only the references that are part of it. It also uses references that are
    finished already, here or in a committed runs.csv.

    Args:
        jobs: The runs of the sweep.
        rows: Run id -> result.
        references: Run id -> the row of the run's reference, if it is known.
    """
    pairs = [
        _Pair(job, rows[run_id], references.get(run_id))
        for job in jobs
        if results.is_done(rows.get(run_id := job.settings.run_id))
    ]
    if not pairs:
        return
    for line in dict.fromkeys(_data(pair.row) for pair in pairs):
        print(line)
    settings: defaultdict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        settings[_setting(pair)].append(pair)
    if len(settings) > _MOST:
        first = jobs[0].settings
        where = first.experiment_name or first.runs_dir
        print(f"{len(settings)} settings: ccompress report {where} shows them")
        return
    lines = [_HEADER, *(_line(name, group) for name, group in settings.items())]
    print("\n".join(_aligned(lines)))
    if any("[" in line[_HEADER.index("sampling error")] for line in lines):
        print(results.BRACKETS)
    lacking = sum(pair.reference is None for pair in pairs)
    if lacking and jobs[0].settings.reference != "skip":
        print(f"{lacking} runs have no reference: the sweep with method=none trains it")


def _data(row: Row) -> str:
    return f"{row['dataset']}: {console.data(row)}; {console.vectors(row)}"


def _setting(pair: _Pair) -> str:
    """The name of a setting, which runs with different seeds share."""
    row, swept = pair.row, pair.job.swept
    rate = f" {row['rate']:g}" if row["rate"] else ""
    name = f"{row['dataset']} {row['network']} {row['schedule']} {row['method']}{rate}"
    return f"{name} {swept}".rstrip()


_HEADER = ("", "seeds", "reference", "test", "drop", "drop on dev", "sampling error", "model file")


def _line(name: str, group: Sequence[_Pair]) -> tuple[str, ...]:
    """The cells of a setting's line: means over its seeds, compared if each has a reference."""
    rows = [pair.row for pair in group]
    known = [(pair.row, pair.reference) for pair in group if pair.reference is not None]
    whole, drops = "-", ["-", "-"]
    if len(known) == len(group):
        whole = f"{fmean(other['test_accuracy'] for _, other in known):.2f} %"
        if any(row["run_id"] != other["run_id"] for row, other in known):
            each = zip(*itertools.starmap(console.drop, known), strict=True)
            drops = [f"{fmean(points):+.2f}" for points in each]
    accuracy = fmean(row["test_accuracy"] for row in rows)
    sizes = zip(*(console.model_sizes(pair.row, pair.reference) for pair in group), strict=True)
    return (
        name,
        str(len(rows)),
        whole,
        f"{accuracy:.2f} %",
        *drops,
        results.sampling(accuracy, rows[0]["test_size"]),
        console.smaller(*map(fmean, sizes)),
    )


def _aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lines with aligned columns, the first to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
