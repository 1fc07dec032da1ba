"""The options in which stored runs differ, and names of runs that show these options.

The name of a run consists of its data set, network, method and schedule. If runs of one data set
and network differ in an option, the option is added to the name of every run that has it, so that a
reader sees both values, and runs with equal names are equal in all settings.
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
_DEFAULTS = {"rest": "float32"}  # defaults that are known without a configuration
REFERENCE = "none"  # the method whose accuracy the drops are measured from

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
    """Extends the names of runs by the settings in which they differ.

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
        dataset, network, method, schedule = (
            self.chosen[name] for name in ("dataset", "network", "method", "schedule")
        )
        # A setting is shown if runs differ in it that a reader would compare: those of one data
        # set and network. So two runs whose vectors differ show their epochs too if these differ.
        # An option that depends on data set and network, such as a learning rate, is not shown.
        self._extend("data", _of(every, "dataset"), within=[dataset])
        self._extend("data", done[["vectors"]], within=[dataset])
        self._extend("data", done[["vocab_policy"]].set_axis(["vocab"], axis=1), within=[dataset])
        # What follows from other settings is shown only if runs with equal names differ in it.
        contents = done["vectors_sha256"].str[:8].rename("contents")
        for consequence in (contents, done["dim"].map("{:g}".format)):
            self._extend("data", consequence.to_frame(), within=[done["data"]])
        self._extend("network", _of(every, "network"), within=[dataset, network])
        self._extend("schedule", _of(every, "schedule"), within=[dataset, network, schedule])
        owned = [key for owner in OWNERS for key in _of(every, owner)]
        others = every.drop(columns=owned)
        of_schedules, of_vectors = _of(others, "train.upper"), _of(others, "vectors")
        own_places = [*of_schedules, *of_vectors]
        self._extend("data", others.drop(columns=own_places), within=[dataset, network])
        self._extend("data", of_schedules, within=[dataset, network, schedule])
        budget = done[_BUDGET].astype("Int64").astype(str)
        if "train.epochs" not in self.differing:
            self._extend("data", budget[["epochs"]], within=[dataset, network])
        for consequence in (of_vectors, budget):
            panel = [done["data"], done["network"], done["schedule"]]
            self._extend("data", consequence.drop(columns=self.differing, errors="ignore"), panel)
        self._extend("method", _of(every, "method"), within=[dataset, network, method])

    def _extend(self, column: str, candidates: pd.DataFrame, within: list[pd.Series]) -> None:
        """Append to `column` the candidates in which runs differ.

        Args:
            column: The column of names to extend.
            candidates: Options as text: one row per run, one column per option.
            within: Only runs that are equal in all of these columns are compared.
        """
        differing: dict[str, set[str]] = {}
        owner = "dataset" if column == "data" else column
        for _, group in self.done.groupby(within, sort=False):
            part = candidates.loc[group.index]
            for key in part.columns[part.nunique(dropna=False) > 1]:
                differing.setdefault(key, set()).update(self.chosen.loc[group.index, owner])
        for key, choices in differing.items():
            # An option of one network does not apply to others. Without an owner it applies to all.
            owned = _owner(key) == owner
            has = self.chosen[owner].isin(choices) | (not owned)
            values = candidates[key].fillna(_DEFAULTS.get(key, DEFAULT))
            if key == "rest":  # the reference is the network with nothing rounded
                has &= (self.chosen["method"] != REFERENCE) | (values != _DEFAULTS[key])
            self.differing[key] = values.where(has, "")
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
    """The options that belong to `owner`: a group, or the beginning of their keys."""
    return every[[key for key in every if _owner(str(key)) == owner or key.startswith(f"{owner}.")]]


def _owner(key: str) -> str:
    """The group of an option. How all other layers are rounded is a part of the method."""
    return "method" if key == "rest" else key.partition(".")[0]
