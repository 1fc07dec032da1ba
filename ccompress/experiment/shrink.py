"""From labelled texts in a file to the smallest network that keeps the accuracy."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ccompress.config.composition import settings_from, written
from ccompress.config.settings import Settings
from ccompress.data.base import Splits
from ccompress.data.columns import Columns
from ccompress.errors import InputError
from ccompress.experiment import results
from ccompress.experiment.run import prepare, run
from ccompress.training.trainer import EpochRow

REFERENCE = "none"
# Methods and rates that reach from a quarter of the table to a hundredth of it.
SWEEP = {
    REFERENCE: ("0",),
    "quantization": ("0.75", "0.875"),
    "in_training_svd": ("0.8", "0.9"),
    "in_training_svd_int8": ("0.9", "0.95", "0.975"),
    "in_training_svd_mixed": ("0.975", "0.99"),
}

_DIM = 100
_SMALL = 2000  # training texts under which a step takes few of them
_MANY_WORDS = 5000  # in training, above which those seen once get no vector


@dataclass(frozen=True)
class Task:
    """What is to be shrunk.

    Attributes:
        file: Labelled texts.
        columns: The names of their columns.
        test: Labelled texts to test with, or None: then a part of `file` is held out.
        options: Overrides of the user's own, which come before the defaults here.
    """

    file: Path
    columns: Columns
    test: Path | None = None
    options: Sequence[str] = field(default=())

    def load(self) -> Splits:
        """Read the texts, tokenized.

        Raises:
            InputError: A file cannot be read or fails the checks of `Splits`, or an option is
                wrong.
        """
        options = [option for option in self.options if _key(option).split(".")[0] != "vectors"]
        settings = settings_from([*self._data(), *options, "vectors=random", "method=none"])
        return settings.dataset.load(settings.root)

    def _data(self) -> list[str]:
        files = {"dataset.train": str(self.file), "dataset.test": str(self.test or "")}
        named = files | {"dataset.text": self.columns.text, "dataset.label": self.columns.label}
        return ["dataset=custom", *(written(key, value) for key, value in named.items() if value)]

    def candidates(self, splits: Splits) -> list["Candidate"]:
        """The runs to compare, the reference first; those whose rate the table allows.

        Raises:
            InputError: An option is wrong.
        """
        base = [*self._data(), *self._defaults(splits), *self.options]
        candidates: list[Candidate] = []
        for method, rates in SWEEP.items():
            for rate in rates:
                overrides = [*base, f"method={method}", f"rate={rate}"]
                settings = settings_from(overrides)
                if not candidates:
                    data = prepare(settings)
                try:
                    settings.method.size_for(data.counts, data.table.shape[1], settings.rate)
                except InputError:
                    continue  # the table is too small for it
                candidates.append(Candidate(settings, overrides))
        return candidates

    def _defaults(self, splits: Splits) -> Iterator[str]:
        """Options that suit the texts, but for those that the user has chosen."""
        words = {word for tokens in splits.train.tokens for word in tokens}
        few = len(splits.train) < _SMALL
        defaults = {
            "vectors": "cooccurrence",
            "vectors.dim": min(_DIM, len(words) - 1),
            "vocab.min_count": 2 if len(words) > _MANY_WORDS else 1,
            "network.hidden": 100,
            "train.batch_size": 16 if few else 64,
            "train.epochs": 30 if few else 15,
            "train.upper.calr": 0.004,
        }
        chosen = {_key(option) for option in self.options}
        for key, value in defaults.items():
            # Another kind of vectors or of network has options of its own.
            if not {key, key.split(".")[0]} & chosen:
                yield f"{key}={value}"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


@dataclass(frozen=True)
class Candidate:
    """A run, and the overrides that give it."""

    settings: Settings
    overrides: list[str]

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return name(self.settings.names["method"], self.settings.rate)

    @property
    def epochs(self) -> int:
        """Those that it trains, once the reference is there."""
        method, epochs = self.settings.method, self.settings.epochs
        is_reference = self.settings.names["method"] == REFERENCE
        return epochs if is_reference else epochs - method.shared_epochs(epochs)


def name(method: str, rate: float) -> str:
    """A run as tables name it."""
    return f"{method} {rate:g}" if rate else method


def sweep(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Run what is not finished; the rows, in order."""
    rows = []
    with _progress(candidates) as (on_epoch, on_run):
        for candidate in candidates:
            settings = candidate.settings
            line = results.command_line(candidate.overrides, [], settings.method.uses_rate)
            rows.append(run(settings, line, on_epoch))
            on_run(rows[-1])
    return rows


@contextmanager
def _progress(
    candidates: Sequence[Candidate],
) -> Iterator[tuple[Callable[[EpochRow], None], Callable[[dict[str, Any]], None]]]:
    """Functions to call after each epoch and after each run.

    They show a bar with the time left on a terminal, else a line a run; nothing if the runs are to
    be quiet.
    """
    terminal = sys.stderr.isatty()
    quiet = candidates[0].settings.quiet
    total = sum(candidate.epochs for candidate in candidates)
    began, done = time.monotonic(), [0]  # epochs, and those of runs that were finished before
    with tqdm(total=total, unit="epoch", disable=quiet or not terminal) as bar:

        def on_epoch(_: EpochRow) -> None:
            bar.update()

        def on_run(row: dict[str, Any]) -> None:
            done.append(done[-1] + candidates[len(done) - 1].epochs)
            bar.update(done[-1] - bar.n)
            line = f"{name(row['method'], row['rate'])}: dev {row['dev_accuracy']:.1f} %"
            bar.set_postfix_str(line)
            if not (terminal or quiet):
                left = (time.monotonic() - began) * (total / done[-1] - 1)
                place = f"[{len(done) - 1}/{len(candidates)}]"
                print(f"{place} {line}; about {left:.0f} s left", flush=True)

        yield on_epoch, on_run


def smallest(rows: Sequence[dict[str, Any]], within: float) -> dict[str, Any]:
    """The run of the smallest file that drops at most `within` points under the reference on dev.

    Test has no part in the choice. Of equal files the one that is best on dev.
    """
    least = rows[0]["dev_accuracy"] - within
    good = [row for row in rows if row["dev_accuracy"] >= least]
    return min(good, key=lambda row: (row["file_bytes"], -row["dev_accuracy"]))
