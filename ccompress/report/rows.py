"""Stored runs as one table, from an experiment's runs.csv or from run folders.

Rows mix only where they answer the same question. What tells them apart is the data set, network,
method, schedule, vectors (name, contents, dimension), vocabulary policy and every other option on
their command line; where one of these differs between rows of one name, the name is extended by it
and the rows stand apart. Protocol numbers do not mix at all.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ccompress.errors import InputError
from ccompress.experiment import results

REFERENCE = "none"
# One panel of a figure, one block of a table. `data` is the data set and what its rows stand on.
PANEL = ["data", "network", "schedule"]

_TEXT = ["run_id", "status", "overrides", "dataset", "network", "method", "schedule"]
_TEXT += ["vectors", "vectors_sha256", "vocab_policy", "device", "error"]
_NUMBERS = ["protocol", "rate", "seed", "dim", "vocab_size", "vocab_with_vector", "classes"]
_NUMBERS += ["train_size", "dev_size", "test_size", "epochs", "rank", "bits", "test_accuracy"]
_NUMBERS += ["embedding_bytes_original", "embedding_bytes", "achieved_reduction"]
_NUMBERS += ["model_bytes_original", "model_bytes", "model_reduction", "file_bytes"]
_NUMBERS += ["flops_per_sentence", "latency_ms", "train_seconds", "peak_memory_bytes"]

# Options that have a column of their own, and the experiment, whose own options show in `_BUDGET`.
_NOT_SETTINGS = {"dataset", "network", "method", "schedule", "rate", "seed", "vectors"}
_NOT_SETTINGS |= {"vocab.policy", "experiment"}
# Columns that show options set in an experiment's file, which its command lines do not repeat.
_BUDGET = ["epochs", "train_size", "vocab_size"]
# An option of one of these belongs to the name in that column: method.compress_at to the method.
_OWNERS = ("dataset", "network", "method", "schedule")


@dataclass(frozen=True)
class Runs:
    """The finished and the failed runs of a report.

    Both carry the columns of runs.csv, with `network`, `method` and `schedule` extended by what
    tells their rows apart, and `data`, the data set extended likewise; `done` also has `drop`, in
    points, paired with the reference of the same panel and seed (nan where there is none).
    """

    done: pd.DataFrame
    failed: pd.DataFrame


def read(source: Path) -> Runs:
    """Read the runs in `source`: a runs.csv, or a folder of run folders (ID/result.json).

    Raises:
        InputError: There are no finished runs, a file or a column is damaged, rows have several
            protocol numbers, or two runs of one seed differ in nothing that can be named.
    """
    rows = _typed(results.read_runs(source) if source.is_file() else _read_folders(source), source)
    for owner in (*_OWNERS, "setting"):
        rows[f"{owner}_details"] = rows["overrides"].map(lambda line, o=owner: _details(line, o))
    done = rows[rows["status"] == "done"].copy()
    if done.empty:
        raise InputError(f"{source} holds no finished run ({len(rows)} failed)")
    _check(done, source)
    _label(done)
    for _, twins in done.groupby([*PANEL, "method", "rate", "seed"]):
        if len(twins) > 1:
            one = twins.iloc[0]
            raise InputError(
                f"{source}: runs {' and '.join(twins['run_id'])} are both {one['dataset']}, "
                f"{one['network']}, {one['method']}, rate {one['rate']:g}, seed {one['seed']}, "
                f"and no option on their command lines tells them apart: keep one of them"
            )
    done["drop"] = drop(done)
    failed = rows[rows["status"] != "done"].rename(columns={"dataset": "data"})
    return Runs(done.reset_index(drop=True), failed.reset_index(drop=True))


def _read_folders(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(folder.glob(f"*/{results.RESULT}")):
        row = results.read_result(path.parent)
        if row is None:
            raise InputError(
                f"{path} is damaged, or was written by another version of ccompress: "
                f"run it again, or delete its folder"
            )
        rows.append(row)
    return rows


def _typed(found: list[dict[str, Any]], source: Path) -> pd.DataFrame:
    """The rows as text and numbers; what is absent is "" or nan."""
    if not found:
        raise InputError(f"{source} holds no runs: neither rows of runs.csv nor ID/result.json")
    rows = pd.DataFrame(found, dtype=object)
    if missing := [name for name in (*_TEXT, *_NUMBERS) if name not in rows]:
        raise InputError(f"{source} lacks the columns {', '.join(missing)} of a run's result")
    rows[_TEXT] = rows[_TEXT].fillna("").astype(str)
    for name in _NUMBERS:
        try:
            rows[name] = pd.to_numeric(rows[name], errors="raise").astype(float)
        except (ValueError, TypeError) as error:
            raise InputError(f"{source}: column {name} does not hold numbers only") from error
    return rows


def _check(done: pd.DataFrame, source: Path) -> None:
    counts = done["protocol"].value_counts().sort_index()
    if len(counts) > 1:
        found = ", ".join(f"{number:g} ({count} runs)" for number, count in counts.items())
        raise InputError(
            f"{source} mixes protocol numbers {found}, whose results do not compare: "
            f"move the older runs away, or run them again"
        )
    needed = ["rate", "seed", "test_accuracy", "achieved_reduction", "test_size"]
    damaged = done[done[needed].isna().any(axis=1)]
    if not damaged.empty:
        raise InputError(
            f"{source}: run {damaged.iloc[0]['run_id']} is marked done but lacks a number of "
            f"{', '.join(needed)}: run it again"
        )
    done["seed"] = done["seed"].astype(int)


def _details(line: str, owner: str) -> dict[str, str]:
    """The options on a command line that belong to `owner`; to "setting" what has no owner."""
    details: dict[str, str] = {}
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"overrides={line!r} is not a command line: {error}") from error
    for word in words:
        key, equals, value = word.lstrip("+~").partition("=")
        if not equals or key in _NOT_SETTINGS or key.startswith("vectors."):
            continue
        group, _, name = key.partition(".")
        if group in _OWNERS and group == owner:
            details[name] = value
        elif group not in _OWNERS and owner == "setting":
            details[key] = value
    return details


def _label(done: pd.DataFrame) -> None:
    """Extend names in place, so that rows of equal names belong together."""
    done["data"] = done["dataset"]
    _extend(done, "data", done["dataset_details"], within=[])
    # One after the other: contents are named only where vectors of one name differ, and so on.
    for key, values in {
        "vectors": done["vectors"],
        "contents": done["vectors_sha256"].str[:8],
        "dim": done["dim"].map("{:g}".format),
        "vocab": done["vocab_policy"],
    }.items():
        _extend(done, "data", values.map(lambda value, key=key: {key: value}), within=[])
    # Options chosen once per data set, network and schedule (a learning rate) tell nothing apart:
    # they extend a name only where they differ between rows that would otherwise be one.
    _extend(done, "network", done["network_details"], within=["data"])
    _extend(done, "schedule", done["schedule_details"], within=["data", "network"])
    _extend(done, "data", done["setting_details"], within=["network", "schedule"])
    budgets = done[_BUDGET].astype("Int64").astype(str)
    budgets = pd.Series(budgets.to_dict("records"), index=done.index)
    _extend(done, "data", budgets, within=["network", "schedule"])
    _extend(done, "method", done["method_details"], within=PANEL)


def _extend(rows: pd.DataFrame, name: str, details: pd.Series, within: list[str]) -> None:
    """Append to column `name` the details in which rows of one name (and `within`) differ."""
    table = pd.DataFrame(list(details), index=rows.index)
    labels = rows[name].copy()
    for _, group in rows.groupby([*within, name], sort=False):
        here = table.loc[group.index]
        varying = [key for key in table if here[key].nunique(dropna=False) > 1]
        for index, values in here[varying].iterrows():
            told = [f"{key}={value}" for key, value in values.items() if not pd.isna(value)]
            labels[index] = ", ".join([labels[index], *told])
    rows[name] = labels


def drop(done: pd.DataFrame) -> pd.Series:
    """Points that each run lies under the reference of the same panel and seed."""
    key = [*PANEL, "seed"]
    reference = done[done["method"] == REFERENCE].set_index(key)["test_accuracy"]
    paired = reference.reindex(pd.MultiIndex.from_frame(done[key])).to_numpy()
    return pd.Series(paired - done["test_accuracy"].to_numpy(), index=done.index)
