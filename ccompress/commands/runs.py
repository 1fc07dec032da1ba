"""`ccompress runs`: list the runs and the settings in which they differ."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ccompress.commands import terminal
from ccompress.commands.arguments import RUNS_DIR, Arguments
from ccompress.commands.which_runs import add_filters, add_source
from ccompress.errors import InputError, nearest
from ccompress.experiment import filters, results, unfinished
from ccompress.report import stored_runs

Row = dict[str, Any]

# The settings of a run. The table shows those in which runs differ, followed by their options.
_SETTINGS = ["dataset", "network", "method", "rate", "schedule", "seed", "vectors", "vocab_policy"]
_LETTERS = 7
# Column -> what it means, for the results that the table shows.
_RESULTS = {
    "test_accuracy": "",
    "file_bytes": "the model file, which ships",
    "folded_bytes": "the network in it",
    "achieved_reduction": "the share of the embedding table that is removed",
}


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "runs",
        "Lists the runs, newest first, with the settings in which they differ.",
        "`ccompress runs diff` compares two runs. `ccompress runs clean` deletes shared files, "
        "which a run makes again if it needs them.",
    )
    add_source(parser, nargs="?")
    add_filters(parser)
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order by a column of runs.csv or an option, smallest first (default: newest first)",
    )
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table: the differences, in the terminal's width (default); csv, json: every column "
        "of runs.csv and every option",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the runs of an experiment or a folder that meet the filters."""
    given = parser().read(arguments)
    words = list(given.filters)
    if given.source and "=" in given.source and not Path(given.source).is_dir():
        words.insert(0, given.source)
        given.source = None
    rows, source = _read(given.source)
    options = stored_runs.every_option(rows, source)
    chosen = filters.select(rows, filters.parse(words), lambda row: options[row["run_id"]])
    every = [row | options[row["run_id"]] for row in chosen]
    if given.sort:
        every = ordered(every, given.sort)
    every = every[::-1] if given.reverse else every
    print(FORMATS[given.format](every))
    if given.format == "table":
        for row in every:
            if row["status"] != "done":
                print(_unfinished(row, source))
    return 0


def _unfinished(row: Row, source: Path) -> str:
    """What became of a run that is not done, and what continues it."""
    said = f"{row['run_id']} {row['status']}"
    if row["status"] == unfinished.INTERRUPTED:
        command = unfinished.command(source / str(row["run_id"]))
        return f"{said} {row['error']}; this continues it: {command}"
    colon = "" if row["status"] == unfinished.RUNNING else ":"
    return f"{said}{colon} {row['error']}"


def _read(name: str | None) -> tuple[list[Row], Path]:
    """The rows of an experiment or a folder, newest first, and the file or folder they are in."""
    if name is None:
        return _in_folder(RUNS_DIR), RUNS_DIR
    try:
        source = stored_runs.locate(name)
    except InputError as error:
        verb = nearest(f"runs {name}", ("runs clean", "runs diff"))
        raise InputError(f"{error}{verb}") from error
    if source.is_file():
        return _newest_first(results.read_runs(source)), source
    return _in_folder(source), source


def _in_folder(folder: Path) -> list[Row]:
    """The runs in a folder of runs, also those that run now or were interrupted."""
    return _newest_first([*results.collect(folder), *unfinished.collect(folder)])


def _newest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["created"]), reverse=True)


def ordered(rows: Sequence[Row], key: str) -> list[Row]:
    """Sort rows by a column or an option, numbers by value; rows without a value come last.

    Raises:
        InputError: No row has such a column or option.
    """
    known = {name for row in rows for name in row}
    if rows and key not in known:
        raise InputError(
            f"--sort {key}: no run has it{nearest(key, known)}; it is a column of runs.csv or an "
            f"option that a run was given"
        )
    having = [row for row in rows if filters.plain(row.get(key))]
    lacking = [row for row in rows if not filters.plain(row.get(key))]
    return sorted(having, key=lambda row: _by_size(filters.plain(row[key]))) + lacking


def _by_size(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _table(rows: Sequence[Row]) -> str:
    """The runs with the settings in which they differ, then the common settings."""
    if not rows:
        return "no runs yet"
    columns = {name: [_shown(name, row) for row in rows] for name in _settings(rows)}
    varied = {name: cells for name, cells in columns.items() if _differ(name, cells)}
    same = {name: max(cells) for name, cells in columns.items() if name not in varied}
    ids = [str(row["run_id"]) for row in rows]
    table = {"run_id": ids, "created": [_when(row["created"]) for row in rows]}
    if any(row["status"] != "done" for row in rows):
        table["status"] = [str(row["status"]) for row in rows]
    known = [name for name in _RESULTS if any(_shown(name, row) for row in rows)]
    if "file_bytes" in known:
        known.remove("folded_bytes")
    table |= varied | {name: [_shown(name, row) for row in rows] for name in known}
    width = terminal.width()
    # If there is no room, the columns that distinguish the fewest runs are dropped first.
    by_value = sorted(varied, key=lambda name: -Counter(varied[name]).most_common(1)[0][1])
    optional = ["achieved_reduction", "created", "folded_bytes", "file_bytes", *by_value]
    text, dropped = terminal.fitted(table, width, optional)
    if dropped and width:
        # Every verb accepts the first letters of an id.
        table["run_id"] = [run_id[:_LETTERS] for run_id in ids]
        text, dropped = terminal.fitted(table, width, optional)
    lines = [text]
    if common := [f"{name}={value}" for name, value in same.items() if value]:
        lines.append(f"all: {' '.join(common)}")
    meanings = {name: _RESULTS[name] for name in known if name not in dropped}
    lines.append("; ".join(f"{name}: {said}" for name, said in meanings.items() if said))
    if dropped:
        lines.append(f"no room for {', '.join(dropped)}: --format csv shows every column")
    return "\n".join(filter(None, lines))


def _settings(rows: Sequence[Row]) -> list[str]:
    """The names of the settings of the runs, including options that only some of them have."""
    options = {name: None for row in rows for name in row if name not in results.COLUMNS}
    protocols = {row["protocol"] for row in rows}
    return [*_SETTINGS, *options, *["protocol"] * (len(protocols) > 1)]


def _differ(name: str, cells: Sequence[str]) -> bool:
    # The row of a run that failed early lacks its vectors and other columns. That is no difference.
    values = {cell for cell in cells if cell} if name in results.COLUMNS else set(cells)
    return len(values) > 1


def _shown(name: str, row: Mapping[str, Any]) -> str:
    """A cell of the table."""
    value: Any = row.get(name)
    if filters.plain(value) == "":
        return ""
    if name == "test_accuracy":
        return f"{value:.2f}"
    if name == "achieved_reduction":
        return f"{100 * value:.1f} %"
    if name == "file_bytes":
        value = results.file_bytes(row)
    if name in ("file_bytes", "folded_bytes"):
        return "" if value is None else results.size(value)
    return terminal.cut(filters.plain(value))


def _when(created: str) -> str:
    """A time from the rows, which is UTC, as local time."""
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _json(rows: Sequence[Row]) -> str:
    whole = [{name: row.get(name) for name in _columns(rows)} for row in rows]
    return json.dumps(whole, ensure_ascii=False, indent=1)


def _columns(rows: Sequence[Row]) -> list[str]:
    """The columns of runs.csv, and the options."""
    return list(dict.fromkeys([*results.COLUMNS, *(name for row in rows for name in row)]))


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {"table": _table, "csv": _csv, "json": _json}
