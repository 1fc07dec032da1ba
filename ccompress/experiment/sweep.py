"""A sweep: many runs from one command line, of which each is done once and none is lost.

This Hydra sweeper lets Hydra compose the runs and the chosen launcher run them. It adds what
experiments need. It leaves out runs that are finished or named twice. It orders runs so that a
shared training is finished before other runs need it. It reads the outcome from the run folders,
which are correct for every launcher and machine.
"""

import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from tqdm import tqdm

from ccompress import cores
from ccompress.errors import DeviceLost, DiskFull, InputError, is_refusal
from ccompress.experiment import experiment_folder, halving, results
from ccompress.experiment.jobs import Combination, Grid, Job, Runs, ordered, refuse_missing_data
from ccompress.experiment.launching import (
    ask_for_gpu,
    changed,
    is_elsewhere,
    launch,
    threads,
    warn_of_no_gpu,
)

_POLL_SECONDS = 0.5

Rows = Mapping[str, Mapping[str, Any]]  # by run id


class Outcome(NamedTuple):
    """The outcome of a sweep or of one of its rounds.

    Attributes:
        jobs: The runs.
        rows: Run id -> row, for each run that has one.
        reasons: Run id -> the reason why the run has no row.
        references: Run id -> the row of the run's reference, if it is known.
    """

    jobs: list[Job]
    rows: dict[str, dict[str, Any]]
    reasons: dict[str, str]
    references: dict[str, Mapping[str, Any]]


class Sweep(Sweeper):
    """Runs every combination of the swept options once.

    Args:
        max_batch_size: The largest number of runs that the launcher gets at once; None: all runs.
        choose: A swept option, such as `schedule.upper`, of which each cell of the other options
            chooses the best value by successive halving over the seeds
            (`ccompress.experiment.halving`). So not all combinations are run. None: run all.
        params: The swept options of an experiment's file; the command line replaces them.
    """

    def __init__(
        self, max_batch_size: int | None = None, choose: str | None = None, params: Any = None
    ) -> None:
        self.max_batch_size = max_batch_size
        self.choose = choose
        self.params: dict[str, Any] = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store what Hydra passes before it calls `sweep`."""
        self._context, self._task = hydra_context, task_function
        self.config_loader = hydra_context.config_loader
        self.whole: DictConfig = config

    def sweep(self, arguments: list[str]) -> None:
        """Run what is missing, and exit with code 1 if a run failed.

        Raises:
            InputError: A combination cannot be composed or is not a run, the device does not exist,
                or the experiment has rows of another protocol.
            MissingData: Unfinished runs need data that are missing; the error names all of them.
        """
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise InputError(
                f"hydra.sweeper.max_batch_size={self.max_batch_size}: it must be at least 1 or null"
            )
        # For joblib, -1 means all cores. By itself it respects only affinity and containers.
        os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(cores.available()))
        grid = Grid(self.params, arguments, self.config_loader, self.whole)
        if self.choose is None:
            outcome = self._run(grid.runs(grid.combinations, self._threads))
        else:
            outcome = self._run_rounds(grid, self.choose)
        _conclude(outcome)

    @property
    def _threads(self) -> int:
        return threads(self.whole.hydra.launcher)

    def _run_rounds(self, grid: Grid, option: str) -> Outcome:
        """Run rounds of runs until each cell has chosen its value of `option`."""
        ids: dict[Combination, str] = {}
        whole = Outcome([], {}, {}, {})

        def dev_accuracy(combination: Combination) -> float:
            row = whole.rows.get(ids[combination])
            return row["dev_accuracy"] if row and results.is_done(row) else -math.inf

        rounds = halving.rounds(grid.combinations, option, dev_accuracy)
        for number, combinations in enumerate(rounds, start=1):
            runs = grid.runs(combinations, self._threads)
            if not _is_quiet(runs.jobs):
                print(f"round {number} of choosing {option}", flush=True)
            ids |= runs.ids
            done = self._run(runs)
            whole.jobs.extend(done.jobs)
            whole.rows.update(done.rows)
            whole.reasons.update(done.reasons)
            whole.references.update(done.references)
        return whole

    def _run(self, runs: Runs) -> Outcome:
        """Run what is missing, and store the rows of all runs."""
        # Hydra imports this module at every start, even for --help. So torch is imported only here.
        from ccompress.experiment import reference
        from ccompress.experiment.run import finished
        from ccompress.machine import choose_device

        jobs, options = runs.jobs, self.whole.hydra.launcher
        if not is_elsewhere(options):
            for device in {job.settings.device for job in jobs}:
                choose_device(device)  # refuses a missing device, even if all runs are finished
        experiment_folder.refuse_other_protocols(jobs)
        before = {
            job.settings.run_id: row | {"overrides": self._line(job)}
            for job in jobs
            if (row := finished(job.settings))
        }
        missing = ordered([job for job in jobs if job.settings.run_id not in before])
        refuse_missing_data(missing, runs.lacking)
        # Failed runs come last, because one of them may have ended an earlier call with its GPU.
        missing.sort(key=lambda job: results.read_result(job.settings.folder) is not None)
        quiet = _is_quiet(jobs)
        if not quiet:
            counts = f"{len(before)} finished before, {len(missing)} to do"
            print(f"{len(jobs)} runs: {counts}", flush=True)
        rows = dict(before)
        reasons: dict[str, str] = {}
        try:
            if missing:
                ask_for_gpu(options, missing)
                launcher = Plugins.instance().instantiate_launcher(
                    hydra_context=self._context, task_function=self._task, config=self.whole
                )
                with nullcontext() if quiet else _progress(missing, len(before)):
                    reasons = launch(launcher, missing, self.max_batch_size)
        except RuntimeError as error:
            # A process was killed, for example by the system when memory ran out, and its run has
            # no result. Runs themselves do not raise this: `guarded` returns their errors.
            message = str(error) or type(error).__name__
            print(f"the launcher gave up: {message.splitlines()[0]}", file=sys.stderr)
        except DeviceLost as error:
            print(f"the sweep ends here: {error}", file=sys.stderr)
        except DiskFull as error:
            print(f"the sweep ends here: {error}", file=sys.stderr)
            raise SystemExit(1) from error
        finally:
            for job in missing:
                run_id = job.settings.run_id
                row = results.read_result(job.settings.folder) or _refused(job, reasons)
                if row:
                    rows[run_id] = row | {"overrides": self._line(job)}
            references = reference.of_jobs(jobs, rows, self._sources)
            experiment_folder.keep(jobs, rows, before, references)
        warn_of_no_gpu(options, missing, rows)
        return Outcome(jobs, rows, reasons, references)

    def _line(self, job: Job) -> str:
        """A run's command line in this sweep, even if another sweep ran it before."""
        return results.command_line(job.overrides, self._sources, job.settings.method.uses_rate)

    @property
    def _sources(self) -> Sequence[Any]:
        """Hydra's sources of configuration."""
        sources: Sequence[Any] = self.whole.hydra.runtime.config_sources
        return sources


def _is_quiet(jobs: Sequence[Job]) -> bool:
    return any(job.settings.quiet for job in jobs)


def _refused(job: Job, reasons: Mapping[str, str]) -> dict[str, Any] | None:
    """The row of a run whose input was refused, such as its rate; such a run has no folder.

    Args:
        job: A run without a result.
        reasons: Run id -> what failed.
    """
    from ccompress.experiment import record

    reason = reasons.get(job.settings.run_id, "")
    if not is_refusal(reason):
        return None
    return record.of_settings(job.settings, "") | {"status": "failed", "error": reason}


@contextmanager
def _progress(jobs: Sequence[Job], skipped: int) -> Iterator[None]:
    """Show the progress of the sweep, read from the run folders, until the launcher returns."""
    folders = {job.settings.run_id: job.settings.folder for job in jobs}
    swept = {job.settings.run_id: job.swept for job in jobs}
    began = time.time()
    over = threading.Event()

    def watch() -> None:
        seen: Counter[str] = Counter()
        waiting = dict(folders)
        terminal = sys.stderr.isatty()
        with tqdm(
            total=len(jobs) + skipped, initial=skipped, unit="run", disable=not terminal
        ) as bar:
            last = False
            while True:
                for run_id, folder in list(waiting.items()):
                    if changed(folder / results.RESULT, began) and (
                        row := results.read_result(folder)
                    ):
                        del waiting[run_id]
                        seen[row["status"]] += 1
                        bar.update()
                        if not terminal:
                            done = skipped + seen.total()
                            line = describe(row, swept[run_id])
                            print(f"[{done}/{len(jobs) + skipped}] {line}", flush=True)
                running = sum(changed(f / "config.yaml", began) for f in waiting.values())
                bar.set_postfix_str(
                    f"done {seen['done']}, skipped {skipped}, failed {seen['failed']}, "
                    f"running {running}"
                )
                if last:
                    return
                last = over.wait(_POLL_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def describe(row: Mapping[str, Any], swept: str) -> str:
    """A run in one line, with the values that distinguish it from other runs of its sweep."""
    what = f"{row['dataset']} {row['network']} {row['method']}"
    if row["rate"]:
        what += f" rate={row['rate']}"
    what += f" {row['schedule']} seed={row['seed']}" + f" {swept}" * bool(swept)
    if row["status"] == "failed":
        return f"{what}: failed: {row['error']}"
    return f"{what}: test {row['test_accuracy']:.2f} %, {row['total_seconds']:.1f} s"


def _conclude(outcome: Outcome) -> None:
    """Print how the sweep ended; exit with code 1 if a run failed or is missing."""
    from ccompress.experiment import comparison

    jobs, rows, reasons, references = outcome
    swept = {job.settings.run_id: job.swept for job in jobs}
    failed = [row for row in rows.values() if row["status"] == "failed"]
    lost = [job for job in jobs if job.settings.run_id not in rows]
    done = len(rows) - len(failed)
    print(f"{done} of {len(jobs)} runs are done")
    comparison.show(jobs, rows, references)
    if not failed and not lost:
        return
    refused = not lost and all(is_refusal(row["error"]) for row in failed)
    again = "their input was refused" if refused else "the same command runs only these"
    print(f"{len(failed) + len(lost)} failed; {again}:", file=sys.stderr)
    told: set[str] = set()
    for row in failed:
        run_id, error = row["run_id"], row["error"]
        shown = row | {"error": "for the same reason"} if error in told else row
        told.add(error)
        print(f"  {run_id}  {describe(shown, swept[run_id])}", file=sys.stderr)
    for job in lost:
        run_id = job.settings.run_id
        reason = reasons.get(run_id, "no result")
        print(f"  {run_id}  {' '.join(job.overrides)}: {reason}", file=sys.stderr)
    raise SystemExit(1)
