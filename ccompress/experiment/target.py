"""The most accurate model whose file has at most so many bytes: `target_bytes=100000`.

The search tries all combinations of `NETWORKS`, `MIN_COUNTS` and `NGRAMS`, twelve for the DAN. It
leaves out options that the user has set and those that the network lacks. Each candidate has the
smallest of `RATES` at which its file is small enough. This rate is found on the table as it stands
when the method compresses it, because the size of the file is settled then. A candidate whose file
is too large at every rate is left out before it trains. Among the others, dev chooses by successive
halving over three seeds (`ccompress.experiment.halving`). The model is that of the user's seed.

Every row is kept in `RESULTS_DIR/target_bytes/DATASET/runs.csv`, with the rates that were found
beside it. The same command continues after the finished runs.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from ccompress.config.composition import settings_within
from ccompress.config.schema import key_of
from ccompress.config.settings import Settings, digest
from ccompress.errors import Diverged, InputError
from ccompress.experiment import halving, results
from ccompress.experiment.at_step import AtStep
from ccompress.experiment.candidates import Candidate, described, progress
from ccompress.experiment.run import prepare
from ccompress.training.trainer import EpochRow

METHOD, REST = "in_training_svd_mixed", "int8"  # unless the user chooses others
NETWORKS: tuple[dict[str, Any], ...] = ({"network.hidden": 50, "network.layers": 1}, {})
MIN_COUNTS: tuple[dict[str, Any], ...] = ({}, {"vocab.min_count": 2}, {"vocab.min_count": 4})
NGRAMS: tuple[dict[str, Any], ...] = ({}, {"network.ngrams": 2})
SEEDS = 3
# From all of the table to a ten-thousandth of it. Each rate keeps 3 % less than the one before.
RATES = tuple(round(1 - 10 ** (-step / 80), 5) for step in range(321))

FOLDER = "target_bytes"  # inside the results folder
_FOUND = "rates.csv"

Options = Mapping[str, Any]


class Found(NamedTuple):
    """A run whose file is small enough, and its row."""

    candidate: Candidate
    row: dict[str, Any]


def search(overrides: Sequence[str], target: int, sources: Iterable[Any]) -> Found:
    """Find the most accurate model whose file has at most `target` bytes.

    Args:
        overrides: The overrides of the command line, with `target_bytes`.
        target: The largest size of the model file.
        sources: Hydra's sources of configuration.

    Raises:
        InputError: An option is wrong, the search chooses it itself, or no file is small enough; in
            the last case the message names the smallest size.
        Diverged: No candidate could be trained.
    """
    chosen = {key_of(override) for override in overrides}
    if "rate" in chosen:
        raise InputError(f"target_bytes={target} chooses the rate: leave out rate=…")
    if not isinstance(target, int) or target < 1:
        raise InputError(f"target_bytes={target}: give a number of bytes, such as 100000")
    kept = [word for word in overrides if key_of(word) not in ("target_bytes", "seed")]
    kept += [f"method={METHOD}"] * ("method" not in chosen)
    kept += [f"rest={REST}"] * ("rest" not in chosen)
    seed = [word for word in overrides if key_of(word) == "seed"]
    first = settings_within([*kept, *seed])
    _refuse_unsized(first)
    tried = list(_combinations(first, chosen))
    return _Search(kept, target, list(sources), first).run(tried)


def _refuse_unsized(settings: Settings) -> None:
    """Refuse a method whose files all have one size, or one that is not known before training."""
    method, name = settings.method, settings.names["method"]
    if not method.uses_rate:
        raise InputError(
            f"target_bytes: method={name} takes no rate, so its file has one size alone; give "
            f"another method, such as {METHOD}"
        )
    if method.reference_epochs(settings.epochs) and not method.shared_epochs(settings.epochs):
        raise InputError(
            f"target_bytes: method={name} trains at its rate before it compresses, so its size is "
            f"not known before; give another method, such as {METHOD}"
        )


def _combinations(first: Settings, chosen: set[str]) -> Iterator[Options]:
    """The options of each candidate."""
    has = {f"network.{option}" for option in first.resolved["network"]} | {"vocab.min_count"}
    seen: list[Options] = []
    for parts in itertools.product(NETWORKS, MIN_COUNTS, NGRAMS):
        options = {
            key: value
            for part in parts
            for key, value in part.items()
            if key in has - chosen and (key != "vocab.min_count" or value > first.vocab.min_count)
        }
        if options not in seen:
            seen.append(options)
            yield options


class _Search:
    """A search.

    Args:
        overrides: The user's, without the seed, with a method and a rest.
        target: The largest size of the model file.
        sources: Hydra's sources of configuration.
        first: The settings of the user's seed, without the options of a candidate.
    """

    def __init__(
        self, overrides: list[str], target: int, sources: list[Any], first: Settings
    ) -> None:
        self.overrides, self.target, self.sources, self.first = overrides, target, sources, first
        self.folder: Path = first.results_dir / FOLDER / first.names["dataset"]
        self.too_large: list[int] = []  # the smallest sizes of candidates that are too large
        self.failures: list[str] = []

    def run(self, tried: Sequence[Options]) -> Found:
        """Choose among candidates that differ in these options."""
        prepare(self.first)  # bad data are an error; later they would only remove candidates
        fitting = [options for options in tried if self._may_fit(options)]
        if not self.first.quiet and fitting:
            print(
                f"{len(fitting)} of {len(tried)} candidates can have a file of at most "
                f"{self.target:,} bytes",
                flush=True,
            )
        found = self._rounds(fitting) if fitting else []
        if found:
            if not self.first.quiet:
                print(f"chosen on dev: {found[0].candidate.name}; all rows: {self.folder}")
            return found[0]
        if self.failures:
            raise Diverged(self.failures[0])
        least = min(self.too_large, default=None)
        least_target = "" if least is None else f": give target_bytes={least} or more"
        raise InputError(f"target_bytes={self.target}: no model file is so small{least_target}")

    def _rounds(self, fitting: Sequence[Options]) -> list[Found]:
        """The runs of the candidate that is chosen, by seed; none if no candidate is left."""
        seeds = [self.first.seed + i for i in range(SEEDS if len(fitting) > 1 else 1)]
        plan = halving.plan(len(fitting), len(seeds))
        found: dict[str, list[Found]] = {str(number): [] for number in range(len(fitting))}
        runs = sum(count * further for count, further in plan)
        with progress([self.first.epochs] * runs, self.first.quiet) as (on_epoch, on_run):
            done = 0
            for count, further in plan:
                remaining = halving.best(_scores(found), count) if done else list(found)
                tried = {
                    name: [
                        self._attempt(fitting[int(name)], seed, on_epoch, on_run)
                        for seed in seeds[done : done + further]
                    ]
                    for name in remaining
                }
                found = {
                    name: [*found[name], *(one for one in ones if one)]
                    for name, ones in tried.items()
                    if all(ones)
                }
                done += further
        return found[halving.best(_scores(found), 1)[0]] if found else []

    def _settings(self, options: Options, seed: int, *more: str) -> tuple[Settings, list[str]]:
        """The settings of a run, and its overrides."""
        chosen = [f"{key}={value}" for key, value in options.items()]
        overrides = [*self.overrides, *chosen, f"seed={seed}", *more]
        return settings_within(overrides), overrides

    def _may_fit(self, options: Options) -> bool:
        """Whether a file is small enough, from the table before training."""
        settings, _ = self._settings(options, self.first.seed)
        try:
            step = AtStep.untrained(settings)
        except InputError:
            return False  # no training word occurs as often as `vocab.min_count` says
        rates = _allowed(step)
        if not rates:
            return False
        least = step.file_bytes(rates[-1])
        if least > self.target:
            self.too_large.append(least)
        return least <= self.target

    def _attempt(
        self,
        options: Options,
        seed: int,
        on_epoch: Callable[[EpochRow], None],
        on_run: Callable[[str], None],
    ) -> Found | None:
        """Run a candidate on a seed; None if that failed or its file is too large."""
        named = {**options, "seed": seed}
        settings, _ = self._settings(options, seed)
        try:
            rate = self._rate(settings, on_epoch)
        except Diverged as error:
            self.failures.append(str(error))
            on_run(f"{Candidate(settings, [], named).name}: failed: {error}")
            return None
        if rate is None:
            on_run(f"{Candidate(settings, [], named).name}: too large")
            return None
        candidate = Candidate(*self._settings(options, seed, f"rate={rate}"), named)
        row = candidate.attempt(on_epoch, self.sources)
        with self._kept():
            rows = {kept["run_id"]: kept for kept in results.read_runs(self.folder / results.RUNS)}
            results.write_runs(self.folder / results.RUNS, {**rows, row["run_id"]: row}.values())
        if row["status"] == "failed":
            self.failures.append(row["error"])
            on_run(described(candidate, row))
            return None
        on_run(f"{described(candidate, row)}, {row['file_bytes']:,} bytes")
        return Found(candidate, row) if row["file_bytes"] <= self.target else None

    def _rate(self, settings: Settings, on_epoch: Callable[[EpochRow], None]) -> float | None:
        """The smallest rate at which the file is small enough; None if there is none."""
        path = self.folder / _FOUND
        key = (digest({**settings.identity, "rate": None})[:12], str(self.target))
        known = {(run, target): rate for run, target, rate in results.read_csv(path)[1:]}
        if key not in known:
            step = AtStep.trained(settings, on_epoch)
            rates = _allowed(step)
            # At larger rates files are smaller.
            place = bisect.bisect_left(
                rates, True, key=lambda rate: step.file_bytes(rate) <= self.target
            )
            if place == len(rates):
                self.too_large.append(step.file_bytes(rates[-1]))
            rate = str(rates[place]) if place < len(rates) else ""
            with self._kept():
                known = {(run, of): found for run, of, found in results.read_csv(path)[1:]}
                known[key] = rate
                rows = [(*run, found) for run, found in sorted(known.items())]
                results.write_csv(path, ("candidate", "target_bytes", "rate"), rows)
        return float(known[key]) if known[key] else None

    def _kept(self) -> FileLock:
        """Guards the files that are kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")


def _scores(found: Mapping[str, Sequence[Found]]) -> dict[str, list[float]]:
    """Candidate -> its accuracy on dev, by seed."""
    return {name: [one.row["dev_accuracy"] for one in ones] for name, ones in found.items()}


def _allowed(step: AtStep) -> list[float]:
    """The rates that the method takes for the table of these data."""

    def takes(rate: float) -> bool:
        try:
            step.settings.method.size_for(step.data.counts, step.data.table.shape[1], rate)
        except InputError:
            return False
        return True

    return [rate for rate in RATES if takes(rate)]
