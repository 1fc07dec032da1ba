"""Runs that have begun and have no result: they run now, or they were interrupted."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccompress import storage
from ccompress.config.composition import written
from ccompress.config.settings import Settings
from ccompress.data.base import default_root
from ccompress.experiment import leftovers, log, results

Row = dict[str, Any]

BEGUN = "begun.json"
RUNNING, INTERRUPTED = "running", "interrupted"
_COMMAND = "command"  # the key of the command line that continues the run

# Options of a command line that a row leaves out, with their defaults.
_DEFAULTS = {
    "device": "auto",
    "save_model": True,
    "reference": "auto",
    "results_dir": Path("results"),
    "runs_dir": Path("results/runs"),
    "experiment_name": None,
}


def begin(settings: Settings, row: Row) -> None:
    """Write the file that says which run has begun; `end` deletes it.

    Args:
        settings: The settings of the run.
        row: The columns of its result that are known already.
    """
    command = {_COMMAND: _command(settings, str(row["overrides"]))}
    storage.write_text(settings.folder / BEGUN, json.dumps(row | command, indent=1) + "\n")


def end(settings: Settings) -> None:
    """Delete the file, after the result was written."""
    (settings.folder / BEGUN).unlink(missing_ok=True)


def _command(settings: Settings, overrides: str) -> str:
    """The command line that continues a run from its stored training, with the same numbers."""
    values = {key: getattr(settings, key) for key in _DEFAULTS} | {"data.root": settings.root}
    defaults = _DEFAULTS | {"data.root": default_root()}
    words = [f"threads={settings.threads}"]  # another number of threads gives other last digits
    for key, value in values.items():
        if value != defaults[key]:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            plain = re.fullmatch(r"[\w./:-]+", text)
            words.append(f"{key}={text}" if plain else written(key, text))
    return f"{overrides} {shlex.join(words)}"


def collect(runs_dir: Path) -> list[Row]:
    """The unfinished runs in a folder of runs, as rows with the columns of runs.csv.

    `status` is `running` or `interrupted`, and `error` says how far the run came.
    """
    return list(_rows(runs_dir))


def _rows(runs_dir: Path) -> Iterator[Row]:
    for path in sorted(runs_dir.glob(f"*/{BEGUN}")):
        if results.read_result(path.parent):
            continue  # the process ended between writing the result and deleting the file
        row = _read(path)
        running = leftovers.in_use(runs_dir / ".locks" / f"{path.parent.name}.lock")
        yield {column: row.get(column) for column in results.COLUMNS} | {
            "status": RUNNING if running else INTERRUPTED,
            "error": _reached(path.parent, str(row["created"])),
        }


def command(folder: Path) -> str:
    """The command line that continues the unfinished run in `folder`."""
    return str(_read(folder / BEGUN)[_COMMAND])


def _read(path: Path) -> Row:
    row: Row = json.loads(path.read_text(encoding="utf-8"))
    return row


def _reached(folder: Path, created: str) -> str:
    """How far the attempt that began at the time `created` came."""
    epoch = log.last_epoch(folder, created)
    return "in its first epoch" if epoch is None else f"after epoch {epoch[0]} of {epoch[1]}"
