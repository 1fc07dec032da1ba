"""Find the smallest network that keeps the accuracy on labelled texts from a file."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ccompress.config.composition import settings_from, written
from ccompress.config.schema import key_of
from ccompress.config.settings import Settings, digest
from ccompress.data.base import Splits, vectors_cache
from ccompress.data.columns import Columns
from ccompress.errors import InputError
from ccompress.experiment import results
from ccompress.experiment.candidates import Candidate, described, progress
from ccompress.experiment.run import finished, prepare
from ccompress.training.trainer import EpochRow

REFERENCE = "none"
# Tried with the reference's network: rates that leave from a quarter to a hundredth of the table.
SWEEP = {
    REFERENCE: ("0",),
    "quantization": ("0.75", "0.875"),
    "in_training_svd": ("0.8", "0.9"),
    "in_training_svd_int8": ("0.9", "0.95", "0.975"),
    "in_training_svd_mixed": ("0.975", "0.99"),
}
# If the table is small, most of a file is something else. So the methods that leave the least of
# the table are also tried with a smaller rest: layers in few bits, fewer layers, fewer words.
SMALLER: tuple[dict[str, Any], ...] = (
    {"rest": "int8"},
    {"rest": "int8", "network.hidden": 50, "network.layers": 1},
    {"rest": "int4", "network.hidden": 50, "network.layers": 1, "vocab.max_size": 1000},
)
SWEEP_OF_SMALLER = {
    "in_training_svd_int8": ("0.9", "0.95"),
    "in_training_svd_mixed": ("0.975", "0.99"),
}

_DIM = 100
_SMALL = 2000  # with fewer training texts than this, batches are small
_MANY_WORDS = 5000  # with more training words than this, words that occur once get no vector
# How long to train: see `Task.epochs`.
_MOST_STEPS = 5000
_GAIN = 1.0  # points on dev
_UNLEARNT = 0.5  # share of the first epoch's loss


@dataclass(frozen=True)
class Task:
    """The user's input.

    Attributes:
        file: The file of labelled texts.
        columns: The names of its columns.
        test: A file of labelled texts for testing; None: a part of `file` is held out.
        options: The user's overrides, which replace the defaults of this module.
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
        options = [option for option in self.options if key_of(option).split(".")[0] != "vectors"]
        settings = settings_from([*self._data(), *options, "vectors=random", "method=none"])
        return settings.dataset.load(settings.root)

    def _data(self) -> list[str]:
        files = {"dataset.train": str(self.file), "dataset.test": str(self.test or "")}
        named = files | {"dataset.text": self.columns.text, "dataset.label": self.columns.label}
        return ["dataset=custom", *(written(key, value) for key, value in named.items() if value)]

    def epochs(self, splits: Splits, say: Callable[[str], None]) -> int:
        """The number of epochs that suits the texts, or that the user has chosen.

        The reference is trained for twice as many epochs, again and again, as long as that makes it
        better on dev by a point or more, or as long as the loss of its last epoch is above half of
        that of its first. It takes at most 5,000 steps, unless the first number takes more.

        Args:
            splits: The texts.
            say: A function that is called with each number of epochs and what it gives, as text.

        Raises:
            InputError: An option is wrong, or the reference failed.
        """
        candidate = self.reference(splits)
        if {"train", "train.epochs"} & self._chosen:
            return candidate.settings.epochs
        steps = -(-len(splits.train) // candidate.settings.batch_size)
        before = -math.inf
        while True:
            epochs = candidate.settings.epochs
            accuracy, learnt = _trained(candidate)
            say(f"the reference after {epochs} epochs: dev {accuracy:.1f} %")
            if learnt and accuracy < before + _GAIN:
                return epochs // 2
            if 2 * epochs * steps > _MOST_STEPS:
                return epochs
            before = accuracy
            candidate = self.reference(splits, **{"train.epochs": 2 * epochs})

    def reference(self, splits: Splits, **options: Any) -> Candidate:
        """The reference, with the first number of epochs unless `options` say another.

        Raises:
            InputError: An option is wrong.
        """
        overrides = self._overrides(self._defaults(splits) | options, REFERENCE, "0")
        return Candidate(settings_from(overrides), overrides, {})

    def candidates(self, splits: Splits, epochs: int) -> list[Candidate]:
        """The runs to compare, the reference first, without rates that the table does not allow.

        Args:
            splits: The texts.
            epochs: How many each trains.

        Raises:
            InputError: An option is wrong.
        """
        defaults = self._defaults(splits) | {"train.epochs": epochs}
        reference = settings_from(self._overrides(defaults, REFERENCE, "0"))
        candidates: list[Candidate] = []
        for smaller in self._variants(reference):
            options, data = defaults | smaller, None
            for method, rates in (SWEEP_OF_SMALLER if smaller else SWEEP).items():
                for rate in rates:
                    overrides = self._overrides(options, method, rate)
                    settings = settings_from(overrides)
                    data = data or prepare(settings)
                    try:
                        settings.method.size_for(data.counts, data.table.shape[1], settings.rate)
                    except InputError:
                        continue  # the table is too small for this rate
                    candidates.append(Candidate(settings, overrides, smaller))
        return candidates

    def _overrides(self, options: Mapping[str, Any], method: str, rate: str) -> list[str]:
        chosen = [f"{key}={value}" for key, value in options.items()]
        return [*self._data(), *chosen, *self.options, f"method={method}", f"rate={rate}"]

    def _defaults(self, splits: Splits) -> dict[str, Any]:
        """Options that suit the texts, without those that the user has chosen."""
        words = {word for tokens in splits.train.tokens for word in tokens}
        few = len(splits.train) < _SMALL
        defaults = {
            "vectors": "cooccurrence",
            "vectors.dim": min(_DIM, len(words) - 1),
            "vocab.min_count": 2 if len(words) > _MANY_WORDS else 1,
            "network.hidden": 100,
            "train.batch_size": 16 if few else 64,
            "train.epochs": 30 if few else 15,
            "train.upper.calr": 0.008 if few else 0.004,
        }
        # Other vectors and networks have other options.
        return {
            key: value
            for key, value in defaults.items()
            if not {key, key.split(".")[0]} & self._chosen
        }

    def _variants(self, reference: Settings) -> Iterator[dict[str, Any]]:
        """No options, for the reference's network; then the options of each smaller network."""
        rows = len(prepare(reference).table)
        network_options = {f"network.{option}" for option in reference.resolved["network"]}
        variants: list[dict[str, Any]] = [{}]
        for smaller in SMALLER:
            fitting = {
                key: value
                for key, value in smaller.items()
                if key not in self._chosen
                and (not key.startswith("network.") or key in network_options)
                and (key != "vocab.max_size" or value < rows)
            }
            if fitting not in variants:
                variants.append(fitting)
        yield from variants

    @property
    def _chosen(self) -> set[str]:
        return {key_of(option) for option in self.options}


def _trained(candidate: Candidate) -> tuple[float, bool]:
    """The accuracy of the reference on dev, and whether it has learnt its training texts by half.

    Raises:
        InputError: It failed.
    """
    settings = candidate.settings
    terminal = sys.stderr.isatty() and not settings.quiet
    with tqdm(
        total=settings.epochs, desc=REFERENCE, unit="epoch", disable=not terminal, leave=False
    ) as bar:

        def on_epoch(_: EpochRow) -> None:
            bar.update()

        row = candidate.attempt(on_epoch)
    _refuse_failure(candidate, row)
    header, *epochs = results.read_csv(settings.folder / results.METRICS)
    first, last = (float(epochs[i][header.index("train_loss")]) for i in (0, -1))
    return row["dev_accuracy"], last <= _UNLEARNT * first


def _refuse_failure(reference: Candidate, row: Mapping[str, Any]) -> None:
    """Refuse to go on without a reference."""
    if row["status"] == "failed":
        raise InputError(
            f"{reference.name}, which the others are compared with, failed: {row['error']}"
        )


def words_with_vector(settings: Settings, splits: Splits) -> set[str]:
    """The words of the table that start from a vector."""
    vectors = settings.vectors.load(settings.root, vectors_cache(), splits.train.tokens)
    return set(vectors.words).intersection(prepare(settings).words)


def sweep(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Run all unfinished candidates; return all rows, in order. A failed run stops no other run.

    Raises:
        InputError: The reference failed, or the runs folder cannot be written.
    """
    rows: list[dict[str, Any]] = []
    with progress(_epochs(candidates), candidates[0].settings.quiet) as (on_epoch, on_run):
        for candidate in candidates:
            rows.append(candidate.attempt(on_epoch))
            _refuse_failure(candidates[0], rows[0])
            on_run(described(candidate, rows[-1]))
    return rows


def _epochs(candidates: Sequence[Candidate]) -> list[int]:
    """How many epochs each run trains. The first of several runs trains what they share."""
    epochs, seen = [], set()
    for settings in (candidate.settings for candidate in candidates):
        reference = digest(settings.reference_identity)
        shared = settings.method.shared_epochs(settings.epochs) if reference in seen else 0
        seen.add(reference)
        epochs.append(0 if finished(settings) else settings.epochs - shared)
    return epochs


def smallest(models: pd.DataFrame, whole: float, within: float) -> Any:
    """The index of the smallest model that is at most `within` points under `whole` on dev.

    Points are rounded to tenths, as they are shown. Test plays no part in the choice. Among files
    of equal size, the one with the best accuracy on dev is chosen.

    Args:
        models: Columns `file_bytes` and `dev_accuracy`, a row for each model.
        whole: The accuracy on dev that is not to be lost.
        within: Points of accuracy.
    """
    good = models[(whole - models["dev_accuracy"]).round(1) <= within]
    return good.sort_values(["file_bytes", "dev_accuracy"], ascending=[True, False]).index[0]
