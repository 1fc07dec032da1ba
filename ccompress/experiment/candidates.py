"""The runs that one command compares, and the display of their progress."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from ccompress.config.settings import Settings
from ccompress.errors import InputError
from ccompress.experiment import launching, results
from ccompress.experiment.run import run
from ccompress.training.trainer import EpochRow

_EPOCHS_TO_ESTIMATE = 5  # after as many epochs the remaining time is printed


@dataclass(frozen=True)
class Candidate:
    """A run, its overrides, and those of them that distinguish it from the other candidates."""

    settings: Settings
    overrides: list[str]
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name that distinguishes it from the other candidates."""
        method, rate = self.settings.names["method"], self.settings.rate
        options = [f"{key.split('.')[-1]}={value}" for key, value in self.options.items()]
        return " ".join([f"{method} {rate:g}" if rate else method, *options])

    def attempt(
        self, on_epoch: Callable[[EpochRow], None], sources: Iterable[Any] = ()
    ) -> dict[str, Any]:
        """Run it, unless it is finished; return its row, which records the error of a failed run.

        Args:
            on_epoch: A function that is called after each trained epoch.
            sources: Hydra's sources of configuration, for the command line in the row.

        Raises:
            InputError: The run was refused before it began, so there is no row.
            DiskFull: The row cannot be written.
        """
        settings = self.settings
        line = results.command_line(self.overrides, sources, settings.method.uses_rate)
        outcome = launching.guarded(lambda: run(settings, line, on_epoch))
        row = outcome if "run_id" in outcome else results.read_result(settings.folder)
        if row is None:
            raise InputError(f"{self.name}: {outcome['error']}")
        return row


@contextmanager
def progress(
    epochs: Sequence[int], quiet: bool
) -> Iterator[tuple[Callable[[EpochRow], None], Callable[[str], None]]]:
    """Functions to call after each epoch, and after each run with a description of its outcome.

    On a terminal they show a progress bar with the remaining time, otherwise a line per run. They
    print nothing if `quiet`.

    Args:
        epochs: The number of epochs that each run trains, at most.
        quiet: Whether to print nothing.
    """
    terminal = sys.stderr.isatty()
    began, trained, runs = time.monotonic(), 0, 0

    def left(done: int) -> str:
        # The first epoch also loads torch, so it does not count.
        seconds = (time.monotonic() - began) / max(trained - 1, 1) * (sum(epochs) - done)
        return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"

    with tqdm(total=sum(epochs), unit="epoch", disable=quiet or not terminal) as bar:

        def on_epoch(_: EpochRow) -> None:
            nonlocal trained, began
            trained += 1
            bar.update()
            if trained == 1:
                began = time.monotonic()
            if trained == _EPOCHS_TO_ESTIMATE and not (terminal or quiet):
                print(f"{len(epochs)} runs, {sum(epochs)} epochs: {left(trained)}", flush=True)

        def on_run(outcome: str) -> None:
            nonlocal runs
            runs += 1
            done = sum(epochs[:runs])
            bar.update(done - bar.n)
            bar.set_postfix_str(outcome)
            if not (terminal or quiet):
                time_left = f"; {left(done)} left" if trained >= _EPOCHS_TO_ESTIMATE else ""
                print(f"[{runs}/{len(epochs)}] {outcome}{time_left}", flush=True)

        yield on_epoch, on_run


def described(candidate: Candidate, row: Mapping[str, Any]) -> str:
    """The outcome of a run in one line."""
    if row["status"] == "failed":
        return f"{candidate.name}: failed: {row['error']}"
    return f"{candidate.name}: dev {row['dev_accuracy']:.1f} %"
