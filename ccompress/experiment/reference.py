"""The reference of a run: the uncompressed network of the same data, network, schedule and seed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ccompress.config.schema import key_of
from ccompress.config.settings import Settings
from ccompress.experiment import results
from ccompress.experiment.jobs import Job
from ccompress.locate import path_of
from ccompress.methods.none import NoCompression
from ccompress.networks import rest

NAME = "none"  # the name of the method
_COMPRESSION = ("method", "rate", "rest")


def settings_of(settings: Settings) -> Settings:
    """The settings of the reference: those of the run, with `method=none` and without rounding."""
    method = {"_target_": path_of(NoCompression)}
    other = {key: value for key, value in settings.sources.items() if key != "method"}
    whole = {"method": method, "rate": 0.0, "rest": rest.FLOAT32, "force": False}
    return dataclasses.replace(
        settings,
        method=NoCompression(),
        rate=0.0,
        rest=rest.FLOAT32,
        force=False,
        names={**settings.names, "method": NAME},
        resolved={**settings.resolved, **whole},
        sources=other,
    )


def overrides_of(overrides: Iterable[str]) -> list[str]:
    """The overrides of the reference, made from those of the run."""
    others = [word for word in overrides if key_of(word).partition(".")[0] not in _COMPRESSION]
    return [*others, f"method={NAME}"]


def stored(settings: Settings) -> dict[str, Any] | None:
    """The row of a finished reference, from its folder or from a committed runs.csv.

    Args:
        settings: The settings of the reference.
    """
    row = results.read_result(settings.folder)
    if results.is_done(row):
        return row
    return results.committed(settings.results_dir, settings.experiment_name, settings.run_id)


def of_jobs(
    jobs: Iterable[Job], rows: Mapping[str, Mapping[str, Any]], sources: Iterable[Any]
) -> dict[str, Mapping[str, Any]]:
    """Run id -> row of the run's reference, for each finished run whose reference is finished.

    A reference is one of the runs itself, or was finished before, here or in a committed runs.csv.

    Args:
        jobs: The runs.
        rows: Run id -> result.
        sources: Hydra's sources of configuration.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for job in jobs:
        run_id = job.settings.run_id
        if not results.is_done(rows.get(run_id)) or job.settings.reference == "skip":
            continue
        uncompressed = settings_of(job.settings)
        own = rows.get(uncompressed.run_id)
        if own and results.is_done(own):
            found[run_id] = own
        elif known := stored(uncompressed):
            # With the options of this run, a report sees that the two belong together.
            line = results.command_line(overrides_of(job.overrides), sources, uses_rate=False)
            found[run_id] = known | {"overrides": line}
    return found
