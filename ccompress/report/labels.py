"""The options that stored runs differ in, and the names that tell the runs apart by them.

A run is named by its data set, network, method and schedule. Where runs of equal names differ in an
option, the names show it: on every run that has the option, so that a reader sees both sides.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

import pandas as pd

from ccompress.errors import InputError
from ccompress.experiment.filters import plain

# An option of one of these belongs to the name in that column: method.compress_at to the method.
OWNERS = ("dataset", "network", "method", "schedule")
DEFAULT = "default"  # shown where an option has its default and no run's configuration tells which

# Options that have a column of their own, and the experiment, whose own options show in `_BUDGET`.
_NOT_OPTIONS = {"dataset", "network", "method", "schedule", "rate", "seed", "vectors"}
_NOT_OPTIONS |= {"vectors.path", "vocab.policy", "experiment"}
# Columns that show options set in an experiment's file, which its command lines do not repeat.
_BUDGET = ["epochs", "train_size", "vocab_size"]


def options(line: str) -> dict[str, str]:
    """The options on a run's command line that have no column of their own.

    Raises:
        InputError: The text is no command line.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"overrides={line!r} is not a command line: {error}") from error
    pairs = (word.lstrip("+~").partition("=") for word in words)
    return {key: plain(value) for key, equals, value in pairs if equals and key not in _NOT_OPTIONS}


def short(key: str) -> str:
    """An option as a name shows it: `network.hidden` is `hidden` behind the network's name."""
    group, _, name = key.partition(".")
    return name if group in OWNERS and name else key


def natural(text: str) -> list[tuple[int, float, str]]:
    """A key that sorts the numbers within texts by their size: 50 before 300."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", text)
    return [(0, float(p), "") if p[0].isdigit() else (1, 0.0, p) for p in parts]


class Labels:
    """Extends the names of runs until equal names mean equal settings.

    Attributes:
        done: The runs. `data`, `network`, `method` and `schedule` are extended in place.
        differing: The options that extend a name: a row a run, a column an option, as text; ""
            where a run has no such option.
        owners: For each of these options the column that it extends.
    """

    def __init__(self, done: pd.DataFrame, given: Sequence[dict[str, str]]) -> None:
        """Label `done`, a row of which was given the options of the same place in `given`."""
        self.done = done
        self.chosen = done[list(OWNERS)].copy()
        self.differing = pd.DataFrame(index=done.index)
        self.owners: dict[str, str] = {}
        every = pd.DataFrame(list(given), index=done.index, dtype=object)
        done["data"] = done["dataset"]
        self._extend("data", _of(every, "dataset"), within=[])
        # One after the other: contents are named only where vectors of one name differ, and so on.
        for key, values in {
            "vectors": done["vectors"],
            "contents": done["vectors_sha256"].str[:8],
            "dim": done["dim"].map("{:g}".format),
            "vocab": done["vocab_policy"],
        }.items():
            self._extend("data", values.rename(key).to_frame(), within=[])
        # Options chosen once per data set, network and schedule (a learning rate) tell nothing
        # apart: they extend a name only where they differ between runs that would be one.
        self._extend("network", _of(every, "network"), within=["data"])
        self._extend("schedule", _of(every, "schedule"), within=["data", "network"])
        owned = [key for owner in OWNERS for key in _of(every, owner)]
        self._extend("data", every.drop(columns=owned), within=["network", "schedule"])
        budget = done[_BUDGET].astype("Int64").astype(str)
        self._extend("data", budget, within=["network", "schedule"])
        panel = ["data", "network", "schedule"]
        self._extend("method", _of(every, "method"), within=panel)

    def _extend(self, column: str, candidates: pd.DataFrame, within: list[str]) -> None:
        """Append to `column` the candidates in which runs of one name (and `within`) differ."""
        differing: dict[str, set[str]] = {}
        owner = "dataset" if column == "data" else column
        for _, group in self.done.groupby([*within, column], sort=False):
            part = candidates.loc[group.index]
            for key in part.columns[part.nunique(dropna=False) > 1]:
                differing.setdefault(key, set()).update(self.chosen.loc[group.index, owner])
        for key, choices in differing.items():
            # What belongs to one network says nothing of another; what has no owner is everyone's.
            owned = key.partition(".")[0] == owner
            has = self.chosen[owner].isin(choices) | (not owned)
            self.differing[key] = candidates[key].fillna(DEFAULT).where(has, "")
            self.owners[key] = column
            self.done[column] += self._shown(key)

    def names(self, column: str, keys: Iterable[str]) -> pd.Series:
        """The names of the runs in `column`, extended by these options alone: `dan, hidden=50`."""
        names = self.chosen["dataset" if column == "data" else column]
        for key in keys:
            if self.owners[key] == column:
                names = names + self._shown(key)
        return names

    def _shown(self, key: str) -> pd.Series:
        """What an option adds to the names of runs; nothing where a run has no such option."""
        values = self.differing[key]
        return (", " + short(key) + "=" + values).where(values != "", "")


def _of(every: pd.DataFrame, owner: str) -> pd.DataFrame:
    """The options that belong to `owner`."""
    return every[[key for key in every if str(key).partition(".")[0] == owner]]
