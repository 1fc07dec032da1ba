"""The options in which stored runs differ, and names of runs that show these options.

The name of a run consists of its data set, network, method and schedule. If runs with equal names
differ in an option, the option is added to the name of every run that has it, so that a reader sees
both values.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

import pandas as pd

from ccompress.errors import InputError
from ccompress.experiment.filters import plain

# An option of one of these groups extends the name in that column: method.compress_at the method's.
OWNERS = ("dataset", "network", "method", "schedule")
DEFAULT = "default"  # shown for an option's default if no stored configuration has its value

# Options that have their own column, and the experiment, whose options `_BUDGET` shows.
_NOT_OPTIONS = {"dataset", "network", "method", "schedule", "rate", "seed", "vectors"}
_NOT_OPTIONS |= {"vectors.path", "vocab.policy", "experiment"}
# Columns that show options from an experiment's file, which are not on the command lines.
_BUDGET = ["epochs", "train_size", "vocab_size"]


def options(line: str) -> dict[str, str]:
    """The options on a run's command line that do not have their own column.

    Raises:
        InputError: The text is not a command line.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"overrides={line!r} is not a command line: {error}") from error
    pairs = (word.lstrip("+~").partition("=") for word in words)
    given = {key: _unquoted(value) for key, equals, value in pairs if equals}
    return {key: plain(value) for key, value in given.items() if key not in _NOT_OPTIONS}


def _unquoted(value: str) -> str:
    """The text that Hydra reads in a quoted value: `"a.csv"` and `a.csv` are the same file."""
    quoted = re.fullmatch(r"(['\"])(.*)\1", value, re.DOTALL)
    return quoted[2].replace(f"\\{quoted[1]}", quoted[1]) if quoted else value


def short(key: str) -> str:
    """An option's short form in a name: `hidden` for `network.hidden` in the network's name."""
    group, _, name = key.partition(".")
    return name if group in OWNERS and name else key


def natural(text: str) -> list[tuple[int, float, str]]:
    """A sort key that orders the numbers inside texts by their value: 50 before 300."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text)
    return [(0, float(p), "") if p[0].isdigit() else (1, 0.0, p) for p in parts]


class Labels:
    """Extends the names of runs until equal names mean equal settings.

    Attributes:
        done: The runs. The columns `data`, `network`, `method` and `schedule` are extended in
            place.
        chosen: The names of the runs before they were extended.
        differing: The options that extend a name, as text: one row per run, one column per option,
            "" if a run does not have the option.
        owners: Option -> the column that it extends.
    """

    def __init__(self, done: pd.DataFrame, given: Sequence[dict[str, str]]) -> None:
        """Extend the names of the runs `done`; `given` holds the options of each, in order."""
        self.done = done
        self.chosen = done[list(OWNERS)].copy()
        self.differing = pd.DataFrame(index=done.index)
        self.owners: dict[str, str] = {}
        every = pd.DataFrame(list(given), index=done.index, dtype=object)
        done["data"] = done["dataset"]
        self._extend("data", _of(every, "dataset"), within=[])
        # One after the other, so that contents appear only if vectors with one name differ.
        for key, values in {
            "vectors": done["vectors"],
            "contents": done["vectors_sha256"].str[:8],
            "dim": done["dim"].map("{:g}".format),
            "vocab": done["vocab_policy"],
        }.items():
            self._extend("data", values.rename(key).to_frame(), within=[])
        # An option that depends on data set, network and schedule, such as a learning rate, does
        # not distinguish runs. It extends a name only if runs with equal names differ in it.
        self._extend("network", _of(every, "network"), within=["data"])
        self._extend("schedule", _of(every, "schedule"), within=["data", "network"])
        owned = [key for owner in OWNERS for key in _of(every, owner)]
        self._extend("data", every.drop(columns=owned), within=["network", "schedule"])
        budget = done[_BUDGET].astype("Int64").astype(str)
        self._extend("data", budget, within=["network", "schedule"])
        panel = ["data", "network", "schedule"]
        self._extend("method", _of(every, "method"), within=panel)

    def _extend(self, column: str, candidates: pd.DataFrame, within: list[str]) -> None:
        """Append to `column` the candidates in which runs with equal names differ.

        Args:
            column: The column of names to extend.
            candidates: Options as text: one row per run, one column per option.
            within: Other columns that must be equal too for two runs to have equal names.
        """
        differing: dict[str, set[str]] = {}
        owner = "dataset" if column == "data" else column
        for _, group in self.done.groupby([*within, column], sort=False):
            part = candidates.loc[group.index]
            for key in part.columns[part.nunique(dropna=False) > 1]:
                differing.setdefault(key, set()).update(self.chosen.loc[group.index, owner])
        for key, choices in differing.items():
            # An option of one network does not apply to others. Without an owner it applies to all.
            owned = key.partition(".")[0] == owner
            has = self.chosen[owner].isin(choices) | (not owned)
            self.differing[key] = candidates[key].fillna(DEFAULT).where(has, "")
            self.owners[key] = column
            self.done[column] += self._shown(key)

    def names(self, column: str, keys: Iterable[str]) -> pd.Series:
        """The names in `column`, extended only by the options `keys`, as in `dan, hidden=50`."""
        names = self.chosen["dataset" if column == "data" else column]
        for key in keys:
            if self.owners[key] == column:
                names = names + self._shown(key)
        return names

    def _shown(self, key: str) -> pd.Series:
        """The text that an option adds to the name of each run; empty if a run does not have it."""
        values = self.differing[key]
        return (", " + short(key) + "=" + values).where(values != "", "")


def _of(every: pd.DataFrame, owner: str) -> pd.DataFrame:
    """The options that belong to `owner`."""
    return every[[key for key in every if str(key).partition(".")[0] == owner]]
