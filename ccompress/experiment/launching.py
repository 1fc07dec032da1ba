"""The processes of a sweep: their threads and GPUs, and what happens if one loses its GPU."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, read_write

from ccompress import cores, storage
from ccompress.errors import DeviceLost, DiskFull, described, one_line
from ccompress.experiment import results
from ccompress.experiment.jobs import Job

logger = logging.getLogger(__name__)


def threads(launcher: DictConfig) -> int:
    """The CPU threads of each process: the cores of this process, divided among all processes.

    Args:
        launcher: The launcher's options.
    """
    if per_task := launcher.get("cpus_per_task"):
        return int(per_task)
    processes = int(launcher.get("n_jobs") or 1)
    if processes < 0:  # joblib counts down: -1 is one process per core, -2 one fewer
        processes = max(1, cores.available() + 1 + processes)
    return cores.threads(processes)


def ask_for_gpu(launcher: DictConfig, jobs: Sequence[Job]) -> None:
    """Ask Slurm for one GPU per job, if a run needs one and the user's options ask for none."""
    if _is_slurm(launcher) and any(job.settings.device.startswith("cuda") for job in jobs):
        asked = [launcher.gpus_per_node, launcher.gpus_per_task, launcher.gres]
        if not any(asked) and "gpu" not in str(launcher.additional_parameters):
            with read_write(launcher):
                launcher.gpus_per_node = 1


def warn_of_no_gpu(
    launcher: DictConfig, jobs: Sequence[Job], rows: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print how many runs found no GPU in their Slurm jobs, and how to get one.

    Args:
        launcher: The launcher's options.
        jobs: The runs.
        rows: Run id -> result.
    """
    devices = [
        str(rows.get(job.settings.run_id, {}).get("device"))
        for job in jobs
        if job.settings.device == "auto"
    ]
    number = sum(device.startswith("cpu") for device in devices)
    if number and _is_slurm(launcher):
        print(
            f"device=auto found no GPU in the Slurm jobs of {number} runs, which used the CPU; "
            f"device=cuda asks Slurm for one",
            file=sys.stderr,
        )


def _is_slurm(launcher: DictConfig) -> bool:
    return str(launcher._target_).endswith(".SlurmLauncher")


def is_elsewhere(launcher: DictConfig) -> bool:
    """Whether runs may happen on other machines, those of a cluster."""
    return "cpus_per_task" in launcher


def launch(launcher: Launcher, jobs: Sequence[Job], at_once: int | None) -> dict[str, str]:
    """Run jobs. If a process loses its GPU, the remaining jobs run in new processes.

    Args:
        launcher: The launcher.
        jobs: The jobs to run.
        at_once: The largest number of jobs that the launcher gets at once; None: all jobs.

    Returns:
        Run id -> what failed. A run that fails before it begins has no result that records this.

    Raises:
        DeviceLost: This process itself lost its GPU.
    """
    began = time.time()
    reasons: dict[str, str] = {}
    remaining = list(jobs)
    while remaining:
        batch = remaining[:at_once]
        try:
            returned = launcher.launch(
                [job.overrides for job in batch], initial_job_idx=len(jobs) - len(remaining)
            )
        except DeviceLost as error:
            tried = len(remaining)
            remaining = [
                job for job in remaining if not changed(job.settings.folder / results.RESULT, began)
            ]
            if error.process == os.getpid() or len(remaining) == tried:
                raise
            continue
        remaining = remaining[len(batch) :]
        for job, outcome in zip(batch, returned, strict=True):
            if reason := _reason(outcome):
                reasons[job.settings.run_id] = reason
    return reasons


def guarded(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one run of a sweep; return its row, or what failed as `error`, so that others continue.

    Raises:
        DeviceLost: No further run can use this process.
        DiskFull: No further run can be written.
    """
    try:
        return run()
    except DeviceLost as error:
        if "SUBMITIT_EXECUTOR" in os.environ:  # a job of a cluster has only one run
            return {"error": str(error)}
        raise
    except Exception as error:
        if storage.disk_is_full(error):
            raise DiskFull(one_line(error)) from error
        logger.debug("a run of the sweep failed", exc_info=True)
        return {"error": described(error)}


def _reason(outcome: JobReturn) -> str | None:
    """Why a job failed, from what its launcher returned; None if it did not fail."""
    if outcome.status == JobStatus.COMPLETED:
        return (outcome.return_value or {}).get("error")
    try:
        _ = outcome.return_value
    except Exception as error:  # anything that Hydra raised before it called the run
        return described(error)
    return None


def changed(path: Path, since: float) -> bool:
    """Whether a file was written after `since`, with a tolerance of a second for coarse clocks."""
    try:
        return path.stat().st_mtime >= since - 1
    except OSError:
        return False
