"""Stored runs as one table, from an experiment's runs.csv or from run folders.

The report averages only runs that differ in nothing but the seed. Runs may differ in data set,
network, method, schedule, vectors (name, contents, dimension), vocabulary policy and every other
option on their command line. If runs of one data set and network differ in one of these, the
option is added to their names (`ccompress.report.labels`). Runs with different protocol numbers
are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from ccompress.errors import InputError, is_refusal
from ccompress.experiment import filters, results
from ccompress.report.labels import REFERENCE as REFERENCE
from ccompress.report.labels import Labels, options

Row = dict[str, Any]

# A panel of a figure, or a block of a table. `data` is the data set with the options of its runs.
PANEL = ["data", "network", "schedule"]

_TEXT = ["run_id", "status", "overrides", "dataset", "network", "method", "schedule"]
_TEXT += ["vectors", "vectors_sha256", "vocab_policy", "device", "error"]
_NUMBERS = ["protocol", "rate", "seed", "dim", "vocab_size", "vocab_with_vector", "classes"]
_NUMBERS += ["tokens_with_vector"]
_NUMBERS += ["train_size", "dev_size", "test_size", "epochs", "rank", "bits", "test_accuracy"]
_NUMBERS += ["embedding_bytes_original", "embedding_bytes", "achieved_reduction"]
_NUMBERS += ["model_bytes_original", "model_bytes", "model_reduction", "folded_bytes"]
_NUMBERS += ["file_bytes", "file_table_bytes", "model_saved"]
_NUMBERS += ["flops_per_sentence", "latency_ms", "train_seconds", "peak_memory_bytes"]


@dataclass(frozen=True)
class Runs:
    """The runs of a report.

    Attributes:
        done: The finished runs, with the columns of runs.csv. The names in `network`, `method` and
            `schedule` show the options in which the runs differ; so does `data`, the data set.
            `drop` is in points, paired with the reference of the same panel and seed (nan without a
            reference). `folded_reduction` is the fraction of the network's bytes that is removed in
            the deployed (folded) network (nan if it was not recorded).
        failed: The runs that ended with an error, with the same columns except `drop`.
        refused: The number of runs that were refused as input; they are in neither table.
        labels: The options in which the finished runs differ.
    """

    done: pd.DataFrame
    failed: pd.DataFrame
    refused: int
    labels: Labels


def locate(source: str) -> Path:
    """The runs.csv of an experiment or of a folder; without one, the folder of run folders.

    Raises:
        InputError: `source` is neither an experiment with stored runs nor a folder.
    """
    experiment, folder = Path("results") / source, Path(source)
    if folder.name == source and (experiment / results.RUNS).is_file():
        return experiment / results.RUNS
    if (folder / results.RUNS).is_file():
        return folder / results.RUNS
    if folder.is_dir():
        return folder
    known = sorted(path.parent.name for path in Path("results").glob(f"*/{results.RUNS}"))
    raise InputError(
        f"{source!r} is neither a folder nor an experiment with runs in "
        f"{experiment / results.RUNS}; "
        + (f"experiments here: {', '.join(known)}" if known else "no experiment has runs here")
    )


def read(source: Path, words: Sequence[str] = ()) -> Runs:
    """Read the runs in `source`: a runs.csv, or a folder of run folders (ID/result.json).

    Args:
        source: The file or folder.
        words: Filters, such as `dataset=sst2` (`ccompress.experiment.filters`). Filters of methods
            and rates keep the reference, from which drops are measured.

    Raises:
        InputError: There are no finished runs, a file or a column is damaged, a filter leaves
            nothing, rows have several protocol numbers, or two runs with the same seed have no
            difference that a name can show.
    """
    stored = results.read_runs(source) if source.is_file() else _read_folders(source)
    if not stored:
        raise InputError(f"{source} holds no runs: neither rows of runs.csv nor ID/result.json")
    given = every_option(stored, source)
    return labelled(_filtered(stored, filters.parse(words), given), given, source)


def labelled(stored: list[Row], given: dict[str, dict[str, str]], source: Path) -> Runs:
    """The runs of a report, made from rows.

    Args:
        stored: The rows.
        given: Run id -> the options of the run.
        source: The file or folder of the rows, for error messages.

    Raises:
        InputError: See `read`.
    """
    rows = _typed(stored, source)
    done = rows[rows["status"] == "done"].copy()
    others = rows[rows["status"] != "done"].rename(columns={"dataset": "data"})
    refused = others["error"].map(is_refusal).astype(bool)
    if done.empty:
        counts = f"{len(rows) - refused.sum()} failed, {refused.sum()} refused as input"
        raise InputError(f"{source} holds no finished run ({counts}): {rows['error'].iloc[0]}")
    _check(done, source)
    labels = Labels(done, [given[run_id] for run_id in done["run_id"]])
    _refuse_twins(done, source)
    done["drop"] = drop(done)
    done["folded_reduction"] = folded_reduction(done)
    return Runs(done, others[~refused].reset_index(drop=True), int(refused.sum()), labels)


def _read_folders(folder: Path) -> list[Row]:
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


def every_option(stored: list[Row], source: Path) -> dict[str, dict[str, str]]:
    """Run id -> the options of the run.

    They include the options on its own command line and those on the command lines of other runs.
    The value of the latter is read from the configuration in the run's folder, if there is one.
    """
    # The folders of an experiment's runs are beside its own folder, unless runs_dir was given.
    folder = source.resolve().parent.parent / "runs" if source.is_file() else source
    given = {row["run_id"]: options(row["overrides"] or "") for row in stored}
    every = {key for options_of_run in given.values() for key in options_of_run}
    for run_id, overridden in given.items():
        path = folder / str(run_id) / "config.yaml"
        if (lacking := every - overridden.keys()) and path.is_file():
            config = OmegaConf.load(path)
            values = {key: OmegaConf.select(config, key) for key in lacking}
            plain = {key: filters.plain(v) for key, v in values.items() if not _is_group(v)}
            given[run_id] = overridden | {key: value for key, value in plain.items() if value}
    return given


def _is_group(value: Any) -> bool:
    return OmegaConf.is_dict(value)


def _filtered(
    stored: list[Row], conditions: filters.Conditions, given: dict[str, dict[str, str]]
) -> list[Row]:
    """The rows that meet the conditions; those of methods and rates keep the reference too."""
    of_methods = {k: v for k, v in conditions.items() if k.partition(".")[0] in ("method", "rate")}
    if REFERENCE in of_methods.get("method", []):
        of_methods = {}
    general = {key: conditions[key] for key in conditions.keys() - of_methods.keys()}

    def select(rows: list[Row], chosen: filters.Conditions) -> list[Row]:
        return filters.select(rows, chosen, lambda row: given[row["run_id"]])

    rows = select(stored, general)
    references = [row for row in rows if row["method"] == REFERENCE and of_methods]
    return references + select([row for row in rows if row not in references], of_methods)


def _typed(stored: list[Row], source: Path) -> pd.DataFrame:
    """The rows with text and numbers as types; a missing text is "", a missing number nan."""
    rows = pd.DataFrame(stored, dtype=object)
    if missing := [name for name in (*_TEXT, *_NUMBERS) if name not in rows]:
        raise InputError(f"{source} lacks the columns {', '.join(missing)} of a run's result")
    rows[_TEXT] = rows[_TEXT].fillna("").astype(str)
    for name in _NUMBERS:
        try:
            rows[name] = pd.to_numeric(rows[name], errors="raise").astype(float)
        except (ValueError, TypeError) as error:
            raise InputError(f"{source}: column {name} does not hold numbers only") from error
    # See `results.file_bytes`.
    rows["file_bytes"] = rows["file_bytes"].where(rows["file_table_bytes"].notna())
    return rows


def _check(done: pd.DataFrame, source: Path) -> None:
    counts = done["protocol"].value_counts().sort_index()
    if len(counts) > 1:
        listed = ", ".join(f"{number:g} ({count} runs)" for number, count in counts.items())
        raise InputError(
            f"{source} mixes protocol numbers {listed}, whose results do not compare: "
            f"choose one with protocol={counts.index.max():g}, or run the older ones again"
        )
    needed = ["rate", "seed", "test_accuracy", "achieved_reduction", "test_size"]
    damaged = done[done[needed].isna().any(axis=1)]
    if not damaged.empty:
        raise InputError(
            f"{source}: run {damaged.iloc[0]['run_id']} is marked done but lacks a number of "
            f"{', '.join(needed)}: run it again"
        )
    done["seed"] = done["seed"].astype(int)


def _refuse_twins(done: pd.DataFrame, source: Path) -> None:
    for _, twins in done.groupby([*PANEL, "method", "rate", "seed"]):
        if len(twins) > 1:
            run = twins.iloc[0]
            raise InputError(
                f"{source}: runs {' and '.join(twins['run_id'])} are both {run['dataset']}, "
                f"{run['network']}, {run['method']}, rate {run['rate']:g}, seed {run['seed']}, "
                f"and no option on their command lines differs: keep one of them"
            )


def folded_reduction(done: pd.DataFrame) -> pd.Series:
    """The fraction of the network's bytes that is removed in the deployed (folded) network."""
    return 1 - done["folded_bytes"] / done["model_bytes_original"]


def drop(done: pd.DataFrame) -> pd.Series:
    """Reference accuracy minus the run's accuracy, in points, for the same panel and seed."""
    key = [*PANEL, "seed"]
    reference = done[done["method"] == REFERENCE].set_index(key)["test_accuracy"]
    paired = reference.reindex(pd.MultiIndex.from_frame(done[key])).to_numpy()
    return pd.Series(paired - done["test_accuracy"].to_numpy(), index=done.index)
