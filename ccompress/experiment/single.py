"""A command with one run: the run itself, its reference, and the last lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ccompress.config.settings import Settings
from ccompress.errors import Diverged, MissingData, OutOfMemory
from ccompress.experiment import console, experiment_folder, reference, results
from ccompress.experiment.jobs import Job
from ccompress.experiment.run import finished, run
from ccompress.machine import choose_device


@dataclass(frozen=True)
class Single:
    """The only run of a command.

    Attributes:
        job: The run.
        sources: Hydra's sources of configuration.
    """

    job: Job
    sources: Sequence[Any]

    def run(self, found: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the run, from its training or as it is stored; print the last lines.

        With an `experiment_name`, the rows of the run and of its reference are kept in the folder
        of the experiment, like those of a sweep.

        Args:
            found: The row, if this command has run it already, as a search does.

        Raises:
            InputError: The device does not exist, the experiment has rows of another protocol, or
                the run is refused.
            Diverged, OutOfMemory, DeviceLost: See `ccompress.experiment.run.run`.
        """
        settings = self.job.settings
        choose_device(settings.device)  # refuses a missing device, even if the run is finished
        experiment_folder.refuse_other_protocols([self.job])
        stored = None if found else finished(settings)
        try:
            row = found or stored or self._trained(settings, self.job.overrides)
            whole, whole_note = self._reference(row)
        finally:  # a run that failed has a row too, and one that is done keeps its row in any case
            self._keep(stored)
        note = ""
        if stored:
            elsewhere = f"a row of {settings.results_dir}, without a folder here; "
            there = (settings.folder / results.RESULT).is_file()
            note = f"finished before; {'' if there else elsewhere}force=true runs it again"
        console.show(row, whole, settings, note, whole_note)
        return row

    def _reference(self, row: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The row of the reference, trained if it is not finished, and a note about it."""
        if self.job.settings.reference == "skip":
            return None, "left out: reference=skip"
        settings = reference.settings_of(self.job.settings)
        if settings.run_id == row["run_id"]:
            return dict(row), ""
        if stored := reference.stored(settings):
            return stored, f"run {settings.run_id}, finished before"
        if not settings.quiet:
            print(f"the reference, run {settings.run_id}; reference=skip leaves it out", flush=True)
        try:
            trained = self._trained(settings, reference.overrides_of(self.job.overrides))
        except (Diverged, MissingData, OutOfMemory) as error:  # the run itself is done
            return None, f"none: {error}"
        return trained, f"run {settings.run_id}"

    def _trained(self, settings: Settings, overrides: Sequence[str]) -> dict[str, Any]:
        """Run, and show the progress."""
        with console.progress(settings) as (on_epoch, say):
            return run(settings, self._line(settings, overrides), on_epoch, say)

    def _line(self, settings: Settings, overrides: Sequence[str]) -> str:
        return results.command_line(overrides, self.sources, settings.method.uses_rate)

    def _keep(self, stored: dict[str, Any] | None) -> None:
        """Add the row of the run, and that of its reference, to the experiment's rows.

        Args:
            stored: The row if the run was finished before.
        """
        settings = self.job.settings
        if row := stored or results.read_result(settings.folder):
            line = self._line(settings, self.job.overrides)
            rows = {settings.run_id: {**row, "overrides": line}}
            references = reference.of_jobs([self.job], rows, self.sources)
            experiment_folder.keep([self.job], rows, rows if stored else {}, references)
