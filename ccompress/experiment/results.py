"""What runs leave behind: the run folder, its files, and the table of many runs."""

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
from ccompress.errors import InputError

RESULT = "result.json"
RUNS = "runs.csv"
SPECTRA = "spectra.csv"
PREDICTIONS = "predictions.csv"
CORRECT = "correct.csv.xz"

# Keys of result.json and columns of runs.csv. Fractions in 0..1, accuracies in percent, sizes in
# bytes, times in seconds (latency in milliseconds). `peak_memory_bytes` is what the process held
# (resident) where `device` is a CPU, and what torch allocated on it where that is a GPU. The four
# parts of the model file add up to `file_bytes`, which a run without a model file has too;
# `model_saved` is 1 for one that has left the file, else 0.
# `vocab_with_vector` counts rows, `tokens_with_vector` is the share of the training text's tokens.
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
# Columns that rows of earlier versions lack: they read as empty, but for `model_saved`.
_LATER = (
    "tokens_with_vector",
    "folded_bytes",
    "file_table_bytes",
    "file_rest_bytes",
    "file_vocabulary_bytes",
    "file_metadata_bytes",
    "model_saved",
)
# Columns that two equal runs may differ in.
MEASURED = (
    "latency_ms",
    "train_seconds",
    "total_seconds",
    "reused_stages",
    "peak_memory_bytes",
    "git_commit",
    "created",
)


_SUBSET = ".subset"  # at the end of the name of a file of vectors

# Options that say where and how a run happens, not what it is: no part of its command line.
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
        overrides: As Hydra was given them.
        sources: Where Hydra finds configuration; what the command line named is named again.
        uses_rate: Whether a rate means anything to the run's method.
    """
    elsewhere = _ELSEWHERE if uses_rate else (*_ELSEWHERE, "rate")
    folders = [source.path for source in sources if source.provider == "command-line"]
    words = [word for folder in folders for word in ("--config-dir", str(folder))]
    words += [word for word in overrides if word.lstrip("+~").split("=")[0] not in elsewhere]
    return shlex.join(["ccompress", *words])


def vectors_name(name: str) -> str:
    """Vectors as people read their name: a subset is said to be one."""
    whole = name.removesuffix(_SUBSET)
    return name if whole == name else f"a subset of {whole}"


def size(count: float) -> str:
    """A number of bytes as people read it: 3.2 kB, 512 kB, 17.80 MB."""
    thousands = round(count / 1e3, 0 if count >= 1e4 else 1)
    return f"{thousands:g} kB" if thousands < 1000 else f"{count / 1e6:.2f} MB"


def sampling_error(accuracy: Any, examples: Any) -> Any:
    """Binomial standard error, in points, of an accuracy (percent) on so many test examples.

    Both are numbers, or both columns of a table.
    """
    share = accuracy / 100
    return 100 * np.sqrt(share * (1 - share) / examples)


def write_result(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Write result.json, atomically; it is what makes a run finished. Missing keys become null."""
    if unknown := row.keys() - set(COLUMNS):
        raise KeyError(f"not a column of results: {', '.join(sorted(unknown))}")
    whole = {column: row.get(column) for column in COLUMNS}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    storage.write_text(folder / RESULT, text)
    return whole


def read_result(folder: Path) -> dict[str, Any] | None:
    """A run's result, or None where there is none or only a damaged one."""
    try:
        row = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(row, dict) or {*row, *_LATER} != set(COLUMNS):
        return None
    return _completed({column: row.get(column) for column in COLUMNS})


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its `model_saved`: earlier versions counted the bytes of a file they left only."""
    if row.get("model_saved") is None:
        row["model_saved"] = int(row.get("file_bytes") is not None)
    return row


def file_bytes(row: Mapping[str, Any]) -> int | None:
    """Bytes of the model file as it is shipped, or None if that was not recorded.

    Earlier versions wrote files that were not folded. They did not count the parts of a file.
    """
    return None if row["file_table_bytes"] is None else row["file_bytes"]


def correct(folder: Path) -> str | None:
    """Which test examples a run classified correctly, or None where it left no predictions.

    Returns:
        A bit for each example, in the order of the test split: packed by `numpy.packbits`, with
        zeros after the last one, as base64.
    """
    rows = read_csv(folder / PREDICTIONS)[1:]
    bits = np.packbits(np.array([label == prediction for _, label, prediction in rows], bool))
    return base64.b64encode(bits.tobytes()).decode("ascii") if rows else None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file (UTF-8, one header line), atomically; as xz if its name ends so."""
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
    """The rows of a CSV file, its header first; none where there is no such file."""
    if not path.is_file():
        return []
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def write_runs(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as runs.csv, sorted by run_id: equal rows give an equal file.

    A file that holds these rows already stays as it is, even if it lacks later columns.
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
    """The rows of a runs.csv, empty cells as None; none where there is no such file.

    Raises:
        InputError: The file is not a table, or lacks what a sweep has to know of a run.
    """
    if not path.is_file():
        return []
    import pandas as pd  # half a second, which --help does without

    try:
        frame = pd.read_csv(path, dtype={"run_id": str, "git_commit": str, "vectors_sha256": str})
    except ValueError as error:  # pandas' own errors are among them
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


def folder_of(run: str, runs_dir: Path) -> Path:
    """The run's folder that `run` means: itself, or the one whose id begins with these letters.

    Raises:
        InputError: There is none, or more than one.
    """
    if not run:
        raise InputError("no run is named: give its folder or the first letters of its id")
    folders = [Path(run)]
    if not folders[0].is_dir():
        folders = sorted(runs_dir.glob(f"{run}*")) if run.isalnum() else []
    if not folders:
        raise InputError(f"no run {run!r} in {runs_dir}: `ccompress runs` lists them")
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"{run!r} is the beginning of {len(folders)} runs: {names}")
    return folders[0]


def committed(results_dir: Path, experiment: str | None, run_id: str) -> dict[str, Any] | None:
    """A finished run's row, from `experiment`'s own runs.csv or else another's.

    The row is not to be changed.
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
    """The finished runs of one file as it stands: a sweep asks for each of its runs."""
    return {row["run_id"]: row for row in read_runs(path) if row["status"] == "done"}


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


def _plain(value: Any) -> Any:
    """`value` with pandas' and numpy's types made plain, missing values None, 5.0 made 5."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return value
