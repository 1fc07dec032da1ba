"""The folder of an experiment, `results/NAME`: its runs.csv and the files beside it.

Sweeps and single runs with an `experiment_name` add their rows here, and a report reads them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ccompress.config.settings import PROTOCOL
from ccompress.errors import InputError, is_refusal
from ccompress.experiment import results
from ccompress.experiment.jobs import Job

Rows = Mapping[str, Mapping[str, Any]]  # by run id


def refuse_other_protocols(jobs: Sequence[Job]) -> None:
    """Refuse to add rows to a runs.csv with rows of another protocol.

    Raises:
        InputError: The experiment of a run has such rows.
    """
    for path in (folder / results.RUNS for folder in _experiments(jobs)):
        others = {row["protocol"] for row in results.read_runs(path)} - {PROTOCOL}
        if others:
            listed = ", ".join(sorted(map(str, others)))
            raise InputError(
                f"{path} holds runs of protocol {listed}, which cannot be compared with runs of "
                f"this version's protocol {PROTOCOL}: move the file away"
            )


def keep(jobs: Sequence[Job], rows: Rows, before: Rows, references: Rows) -> None:
    """Write the rows of each experiment to its runs.csv, in addition to the rows that it has.

    Args:
        jobs: The runs.
        rows: Run id -> result.
        before: Run id -> result, for the runs that were finished before.
        references: Run id -> row of the run's reference. It is kept too, so that a report measures
            drops from the reference that the last lines of the runs name.
    """
    for folder, experiment_jobs in _experiments(jobs).items():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _keep_runs(folder / results.RUNS, experiment_jobs, rows, before, references)
            _keep_spectra(folder / results.SPECTRA, experiment_jobs)
            done = [
                job for job in experiment_jobs if results.is_done(rows.get(job.settings.run_id))
            ]
            _keep_correct(folder / results.CORRECT, done)


def _experiments(jobs: Sequence[Job]) -> dict[Path, list[Job]]:
    """The folder of each experiment, with its jobs; jobs without an experiment are left out."""
    experiments: defaultdict[Path, list[Job]] = defaultdict(list)
    for job in jobs:
        if name := job.settings.experiment_name:
            experiments[job.settings.results_dir / name].append(job)
    return experiments


def _keep_runs(path: Path, jobs: Sequence[Job], rows: Rows, before: Rows, references: Rows) -> None:
    """Add rows to runs.csv; a newer result replaces an older one of the same run or command line.

    A finished row changes only in its command line, until its run is run again. So does the row of
    a run that is refused again for the same reason.
    """
    old = results.read_runs(path)
    stored = {row["run_id"]: row for row in old}
    new = []
    for run_id in (job.settings.run_id for job in jobs):
        if run_id in rows:
            row = rows[run_id]
            known = stored.get(run_id, row)
            refused = is_refusal(row["error"] or "") and known["error"] == row["error"]
            kept_row = known if refused or (run_id in before and results.is_done(known)) else row
            new.append({**kept_row, "overrides": row["overrides"]})
    used = {job.settings.run_id: references.get(job.settings.run_id) for job in jobs}
    others = {row["run_id"]: dict(row) for row in used.values() if row}
    for run_id, row in others.items():
        if run_id not in rows and not results.is_done(stored.get(run_id)):
            new.append(row)
    same = {row[key] for row in new for key in ("run_id", "overrides")}
    kept = [row for row in old if not {row["run_id"], row["overrides"]} & same]
    results.write_runs(path, kept + new)


def _keep_spectra(path: Path, jobs: Sequence[Job]) -> None:
    """Add the singular values of the first seed's reference runs to spectra.csv."""
    first = min(job.settings.seed for job in jobs)
    spectra: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for run_id, *value in results.read_csv(path)[1:]:
        spectra[run_id].append(tuple(value))
    for job in jobs:
        values = results.read_csv(job.settings.folder / results.SPECTRA)[1:]
        if job.settings.seed == first and values:
            spectra[job.settings.run_id] = values
    if spectra:
        rows = [(run_id, *value) for run_id in sorted(spectra) for value in spectra[run_id]]
        results.write_csv(path, ("run_id", "stage", "index", "singular_value"), rows)


def _keep_correct(path: Path, jobs: Sequence[Job]) -> None:
    """Record in correct.csv.xz which test examples these finished runs classified correctly."""
    folders = {job.settings.run_id: job.settings.folder for job in jobs}
    new = {run_id: bits for run_id, folder in folders.items() if (bits := results.correct(folder))}
    if new:
        kept = {row[0]: row[1] for row in results.read_csv(path)[1:]} | new
        results.write_csv(path, ("run_id", "correct"), sorted(kept.items()))
