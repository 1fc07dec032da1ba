"""The time to prepare a data set: the first time, and again from the stored data."""

from dataclasses import replace
from functools import partial

import torch

from benchmarks.cases import IMDB, PHRASES, SST2, settings
from benchmarks.measuring import OURS, Bench, Row, row, timed
from ccompress.experiment.run import prepare

SECONDS = 0.5


def measure(bench: Bench) -> list[Row]:
    """Seconds from files to token ids and a table; reading stored data verifies its checksum."""
    cpu = torch.device("cpu")
    rows = []
    for name, chosen in (("sst2", SST2), ("sst2 phrases", PHRASES), ("imdb", IMDB)):
        # A separate folder, because other parts may have prepared the same data before.
        fresh = replace(settings(bench, chosen), runs_dir=bench.runs / f".fresh {name}")
        preparation = timed(partial(prepare, fresh, fresh.runs_dir / "vectors"), cpu)
        first = preparation()
        again = [preparation() for _ in range(bench.rounds(5))]
        rows += [
            row(name, cpu, "prepared the first time", OURS, [first]),
            row(
                name,
                cpu,
                "prepared again",
                OURS,
                again,
                target=f"under {SECONDS:g} s",
                met=max(again) < SECONDS,
            ),
        ]
    return rows
