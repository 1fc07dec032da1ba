"""`ccompress runs diff`: compare the settings and the results of two runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ccompress.commands import terminal
from ccompress.commands.arguments import Arguments, add_runs_dir, run_ids
from ccompress.deployment import finding
from ccompress.errors import InputError
from ccompress.experiment import filters, results

_NOTHING = "—"
_REFERENCE = "none"
# Columns that say what a run is, and where it happened.
_SETTINGS = ["dataset", "network", "method", "rate", "schedule", "seed", "vectors"]
_SETTINGS += ["vectors_sha256", "vocab_policy", "train_size", "dev_size", "test_size"]
_PLACE = ["protocol", "device", "threads", "versions", "git_commit"]
# Options that are shown as columns, and options that do not affect a run's result.
_NOT_SHOWN = ["rate", "seed", "vocab.policy", "device", "threads", "data.root", "runs_dir"]
_NOT_SHOWN += ["results_dir", "experiment_name", "save_model", "force"]
_POINTS = ("dev_accuracy", "test_accuracy", "drop")
# Result -> the function that formats it.
_RESULTS: dict[str, Callable[[Any], str]] = {
    "rank": str,
    "bits": str,
    "dev_accuracy": "{:.2f} %".format,
    "test_accuracy": "{:.2f} %".format,
    "drop": "{:.2f}".format,
    "file_bytes": results.size,
    "folded_bytes": results.size,
    "embedding_bytes": results.size,
    "achieved_reduction": lambda share: f"{100 * share:.1f} %",
    "latency_ms": "{:.3f}".format,
    "train_seconds": "{:.1f}".format,
}


_MEANINGS = {
    "file_bytes": "file_bytes (the model file)",
    "folded_bytes": "folded_bytes (the network in it)",
    "embedding_bytes": "embedding_bytes (the table)",
    "achieved_reduction": "achieved_reduction (of the table)",
}


@dataclass
class _Run:
    """A run's folder, its row, and its options by their keys."""

    folder: Path
    row: dict[str, Any]
    options: dict[str, str]


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "runs diff",
        "Shows the settings in which two runs differ, and their results side by side. It includes "
        "the drop of each, in points, if the uncompressed network (method=none) was run with its "
        "settings.",
    )
    parser.add_argument("A", help="a run: its folder, or the first letters of its id")
    parser.add_argument("B", help="another run")
    for name in ("A", "B"):
        parser.completes(name, run_ids)
    add_runs_dir(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print what differs between two runs, and their results."""
    given = parser().read(arguments)
    runs = [_read(finding.folder_of(run, given.runs_dir)) for run in (given.A, given.B)]
    a, b = runs
    if a.row["run_id"] == b.row["run_id"]:
        raise InputError(f"{given.A} and {given.B} are the same run, {a.row['run_id']}")
    for run in runs:
        run.row["drop"] = _drop(run)
    settings = [(name, first, second, "") for name, first, second in _different(a, b)]
    known = [name for name in _RESULTS if any(run.row[name] is not None for run in runs)]
    shown = [
        (_MEANINGS.get(name, name), *(_result(run, name) for run in runs), _change(a, b, name))
        for name in known
    ]
    names = [f"{letter}: {run.row['run_id']}" for letter, run in zip("AB", runs, strict=True)]
    for head, lines in (("differs", settings), ("results", shown)):
        if lines:
            columns = dict(zip([head, *names, "B - A"], zip(*lines, strict=True), strict=True))
            if lines is settings:
                del columns["B - A"]
            print(terminal.fitted(columns, None, ())[0], end="\n\n")
    _conclude(runs)
    return 0


def _read(folder: Path) -> _Run:
    row = results.read_result(folder)
    if row is None:
        raise InputError(f"{folder} has no complete {results.RESULT}: the run is not finished")
    return _Run(folder, row | {"file_bytes": results.file_bytes(row)}, _options(folder))


def _options(folder: Path) -> dict[str, str]:
    """The options of a run's configuration: `network.hidden` -> "300"."""
    path = folder / "config.yaml"
    return dict(_flat(OmegaConf.to_container(OmegaConf.load(path)), "")) if path.is_file() else {}


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif key not in _NOT_SHOWN and key.rpartition(".")[2] not in ("_target_", "name"):
        yield key, filters.plain(value)


def _different(a: _Run, b: _Run) -> Iterator[tuple[str, str, str]]:
    """The settings in which the runs differ: name, A's value, B's value."""
    both = [
        {name: filters.plain(run.row[name]) for name in _SETTINGS}
        | run.options
        | {name: filters.plain(run.row[name]) for name in _PLACE}
        for run in (a, b)
    ]
    for name in dict.fromkeys([*both[0], *both[1]]):
        first, second = (terminal.cut(each.get(name) or _NOTHING) for each in both)
        if first != second:
            yield name, first, second


def _drop(run: _Run) -> float | None:
    """The drop of a run, in points, from the uncompressed network with the same settings.

    The reference is looked up in the same folder of runs; None if it is not there.
    """
    alike = ("dataset", "network", "schedule", "seed", "vectors_sha256", "protocol", "test_size")
    for row in results.collect(run.folder.parent):
        if (row["method"], row["status"]) != (_REFERENCE, "done") or run.row["status"] != "done":
            continue
        if all(row[name] == run.row[name] for name in alike):
            options = _options(run.folder.parent / row["run_id"])
            if _without_method(options) == _without_method(run.options):
                return float(row["test_accuracy"] - run.row["test_accuracy"])
    return None


def _without_method(options: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in options.items() if not key.startswith("method.")}


def _result(run: _Run, name: str) -> str:
    value = run.row[name]
    return _NOTHING if value is None else _RESULTS[name](value)


def _change(a: _Run, b: _Run, name: str) -> str:
    """B's value minus A's in points; empty for results that are not in points."""
    before, after = a.row[name], b.row[name]
    return f"{after - before:+.2f}" if name in _POINTS and None not in (before, after) else ""


def _conclude(runs: Sequence[_Run]) -> None:
    """Print the standard errors, missing references and the errors of failed runs."""
    for run in runs:
        if run.row["error"]:
            print(f"{run.row['run_id']} failed: {run.row['error']}")
        elif run.row["drop"] is None:
            print(f"{run.row['run_id']}: no drop: method=none was not run with its settings")
    done = [run.row for run in runs if run.row["status"] == "done"]
    if done:
        errors = ", ".join(results.sampling(row["test_accuracy"], row["test_size"]) for row in done)
        print(f"standard error of test accuracy: {errors}")
        if "[" in errors:
            print(results.BRACKETS)
