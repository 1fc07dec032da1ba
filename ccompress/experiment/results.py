"""The stored results of runs: the run folder, its files, and the table of many runs."""

import base64
import csv
import functools
import io
import json
import lzma
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ccompress import storage
from ccompress.config.schema import key_of
from ccompress.errors import InputError

RESULT = "result.json"
RUNS = "runs.csv"
SPECTRA = "spectra.csv"
PREDICTIONS = "predictions.csv"
METRICS = "metrics.csv"
CORRECT = "correct.csv.xz"

# The keys of result.json and the columns of runs.csv. Fractions are in 0..1, accuracies in percent,
# sizes in bytes, times in seconds (latency in milliseconds). `peak_memory_bytes` is the resident
# memory of the process if `device` is a CPU, and what torch allocated if it is a GPU. The sizes of
# the four parts of the model file add up to `file_bytes`, which is also recorded if the file is not
# stored; `model_saved` is 1 if it is stored, and otherwise 0. `vocab_with_vector` counts rows;
# `tokens_with_vector` is the fraction of the training text's tokens.
COLUMNS = (
    "run_id",
    "protocol",
    "status",
    "overrides",
    "dataset",
    "network",
    "method",
    "rate",
    "schedule",
    "seed",
    "vectors",
    "vectors_sha256",
    "dim",
    "vocab_policy",
    "vocab_size",
    "vocab_with_vector",
    "tokens_with_vector",
    "classes",
    "train_size",
    "dev_size",
    "test_size",
    "epochs",
    "rank",
    "bits",
    "dev_accuracy",
    "test_accuracy",
    "embedding_bytes_original",
    "embedding_bytes",
    "achieved_reduction",
    "model_bytes_original",
    "model_bytes",
    "model_reduction",
    "folded_bytes",
    "file_bytes",
    "file_table_bytes",
    "file_rest_bytes",
    "file_vocabulary_bytes",
    "file_metadata_bytes",
    "model_saved",
    "flops_per_sentence",
    "latency_ms",
    "train_seconds",
    "total_seconds",
    "reused_stages",
    "peak_memory_bytes",
    "device",
    "threads",
    "versions",
    "git_commit",
    "created",
    "error",
)
# Columns that rows of earlier versions lack. They are read as empty, except `model_saved`.
_LATER = (
    "tokens_with_vector",
    "folded_bytes",
    "file_table_bytes",
    "file_rest_bytes",
    "file_vocabulary_bytes",
    "file_metadata_bytes",
    "model_saved",
)
# Columns in which two equal runs may differ.
MEASURED = (
    "latency_ms",
    "train_seconds",
    "total_seconds",
    "reused_stages",
    "peak_memory_bytes",
    "git_commit",
    "created",
)


_SUBSET = ".subset"  # the end of the name of a file with a subset of vectors

# Options that say where and how a run happens, not what it is. They are not in its command line.
_ELSEWHERE = (
    "device",
    "threads",
    "data.root",
    "runs_dir",
    "results_dir",
    "force",
    "save_model",
    "reference",
    "quiet",
    "experiment_name",
)


def command_line(overrides: Iterable[str], sources: Iterable[Any], uses_rate: bool) -> str:
    """The `ccompress` command line of one run.

    Args:
        overrides: The overrides that Hydra received.
        sources: Hydra's sources of configuration; those from the command line are repeated.
        uses_rate: Whether the run's method uses the rate.
    """
    elsewhere = _ELSEWHERE if uses_rate else (*_ELSEWHERE, "rate")
    folders = [source.path for source in sources if source.provider == "command-line"]
    words = [word for folder in folders for word in ("--config-dir", str(folder))]
    words += [word for word in overrides if key_of(word) not in elsewhere]
    return shlex.join(["ccompress", *words])


def vectors_name(name: str) -> str:
    """The name of vectors for people, which says if they are a subset."""
    whole = name.removesuffix(_SUBSET)
    return name if whole == name else f"a subset of {whole}"


def size(count: float) -> str:
    """A number of bytes for people: 3.2 kB, 512 kB, 17.80 MB."""
    thousands = round(count / 1e3, 0 if count >= 1e4 else 1)
    return f"{thousands:g} kB" if thousands < 1000 else f"{count / 1e6:.2f} MB"


def sampling_error(accuracy: Any, examples: Any) -> Any:
    """The binomial standard error, in points, of an accuracy.

    It is nan at 0 and 100 %, where the formula gives 0 and says nothing: see `accuracy_interval`.

    Args:
        accuracy: The accuracy in percent; a number, or a column of a table.
        examples: The number of examples; a number or column likewise.
    """
    variance = accuracy / 100 * (1 - accuracy / 100)
    return 100 * np.sqrt((variance + np.where(variance > 0, 0.0, np.nan)) / examples)


def accuracy_interval(accuracy: float, examples: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy, in percent, from the size of the split (Wilson 1927).

    Args:
        accuracy: The accuracy in percent.
        examples: The number of examples.
    """
    share, z = accuracy / 100, 1.959964
    middle = share + z**2 / (2 * examples)
    half = z * math.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2)
    low, high = ((middle + side) / (1 + z**2 / examples) for side in (-half, half))
    return 100 * max(low, 0.0), 100 * min(high, 1.0)


BRACKETS = "in brackets: the 95 % interval of an accuracy of 0 or 100 %"


def sampling(accuracy: float, examples: int, digits: int = 2) -> str:
    """The sampling error of an accuracy, or its 95 % interval in brackets at 0 and 100 %."""
    error = sampling_error(accuracy, examples)
    if error > 0:
        return f"{error:.{digits}f}"
    low, high = accuracy_interval(accuracy, examples)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def write_result(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Write result.json atomically, which marks the run as finished. Missing keys become null."""
    if unknown := row.keys() - set(COLUMNS):
        raise KeyError(f"not a column of results: {', '.join(sorted(unknown))}")
    whole = {column: row.get(column) for column in COLUMNS}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    storage.write_text(folder / RESULT, text)
    return whole


def read_result(folder: Path) -> dict[str, Any] | None:
    """A run's result; None if there is none or it is damaged."""
    try:
        row = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(row, dict) or {*row, *_LATER} != set(COLUMNS):
        return None
    return _completed({column: row.get(column) for column in COLUMNS})


def is_done(row: Mapping[str, Any] | None) -> bool:
    """Whether there is a row, of a run that finished."""
    return row is not None and row["status"] == "done"


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with `model_saved`; earlier versions recorded file sizes of stored files only."""
    if row.get("model_saved") is None:
        row["model_saved"] = int(row.get("file_bytes") is not None)
    return row


def file_bytes(row: Mapping[str, Any]) -> int | None:
    """Bytes of the model file as it is shipped, or None if that was not recorded.

    Earlier versions wrote files that were not folded. They did not count the parts of a file.
    """
    return None if row["file_table_bytes"] is None else row["file_bytes"]


def correct(folder: Path) -> str | None:
    """Which test examples a run classified correctly; None if it has no predictions.

    Returns:
        One bit per example, in the order of the test split, packed by `numpy.packbits` (with zeros
        after the last one) and encoded as base64.
    """
    rows = read_csv(folder / PREDICTIONS)[1:]
    bits = np.packbits(np.array([label == prediction for _, label, prediction in rows], bool))
    return base64.b64encode(bits.tobytes()).decode("ascii") if rows else None


def only_prediction(folder: Path) -> str | None:
    """The label that a run predicted for every text of test, if the texts have several labels.

    None if it predicted several labels or has no predictions.
    """
    rows = read_csv(folder / PREDICTIONS)[1:]
    labels, predictions = ({row[column] for row in rows} for column in (1, 2))
    return next(iter(predictions)) if len(predictions) == 1 < len(labels) else None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file (UTF-8, one header line) atomically, compressed if its name ends in .xz."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    if path.suffix == ".xz":
        with storage.replacing(path) as temporary:
            temporary.write_bytes(lzma.compress(text.getvalue().encode("utf-8")))
    else:
        storage.write_text(path, text.getvalue())


def read_csv(path: Path) -> list[tuple[str, ...]]:
    """The rows of a CSV file, with its header first; empty if there is no such file."""
    if not path.is_file():
        return []
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def write_runs(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as runs.csv, sorted by run_id, so that equal rows give equal files.

    A file that already holds these rows stays unchanged, even if it lacks later columns.
    """
    lines = _lines(rows)
    if not path.is_file() or _lines(read_runs(path)) != lines:
        write_csv(path, COLUMNS, lines)


def _lines(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of runs.csv."""
    ordered = sorted(rows, key=lambda row: str(row["run_id"]))
    cells = ([_plain(row.get(column)) for column in COLUMNS] for row in ordered)
    return [["" if value is None else str(value) for value in line] for line in cells]


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The rows of a runs.csv, with None for empty cells; empty if there is no such file.

    Raises:
        InputError: The file is not a table, or lacks a column that a sweep needs.
    """
    if not path.is_file():
        return []
    import pandas as pd  # takes half a second, which --help does not need

    try:
        frame = pd.read_csv(path, dtype={"run_id": str, "git_commit": str, "vectors_sha256": str})
    except ValueError as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a table of runs: {reason}") from error
    if lost := [
        name for name in ("run_id", "status", "overrides", "protocol") if name not in frame
    ]:
        raise InputError(f"{path} lacks the columns {', '.join(lost)} of a run's result")
    rows = ({key: _plain(v) for key, v in row.items()} for row in frame.to_dict("records"))
    return [_completed(dict.fromkeys(_LATER) | row) for row in rows]


def collect(runs_dir: Path) -> list[dict[str, Any]]:
    """The results of all runs in a folder, newest first."""
    if not runs_dir.is_dir():
        return []
    rows = (read_result(folder) for folder in runs_dir.iterdir() if not _hidden(folder))
    return sorted(filter(None, rows), key=lambda row: str(row["created"]), reverse=True)


def committed(results_dir: Path, experiment: str | None, run_id: str) -> dict[str, Any] | None:
    """The row of a finished run, from `experiment`'s own runs.csv or, failing that, another's.

    The caller must not change the row.
    """
    first = {results_dir / experiment / RUNS} if experiment else set()
    others = sorted(set(results_dir.glob(f"*/{RUNS}")) - first, reverse=True)
    for path in (*first, *others):
        if path.is_file():
            status = path.stat()
            if row := _done(path, status.st_mtime_ns, status.st_size).get(run_id):
                return row
    return None


@functools.lru_cache
def _done(path: Path, modified: int, size: int) -> dict[str, dict[str, Any]]:
    """The finished runs of a file by run id; cached, because a sweep asks for each of its runs.

    Args:
        path: The file.
        modified: The time of its last change; a new time makes the cache read the file again.
        size: Its size, for the same reason.
    """
    return {row["run_id"]: row for row in read_runs(path) if row["status"] == "done"}


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


def _plain(value: Any) -> Any:
    """`value` as a plain Python value: without numpy's types, None for a missing one, 5 for 5.0."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return value
