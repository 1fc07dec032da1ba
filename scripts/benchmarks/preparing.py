"""Preparing a data set: the first time, and every time after."""

from dataclasses import replace
from functools import partial

import torch

from benchmarks.cases import IMDB, PHRASES, SST2, settings
from benchmarks.measuring import OURS, Bench, Row, row, timed
from ccompress.experiment.run import prepare

SECONDS = 0.5


def measure(bench: Bench) -> list[Row]:
    """From files to integers and a table; what is stored is read with its checksum verified."""
    cpu = torch.device("cpu")
    rows = []
    for name, chosen in (("sst2", SST2), ("sst2 phrases", PHRASES), ("imdb", IMDB)):
        # A folder of its own: other parts may have prepared the same before.
        one = settings(bench, chosen)
        one = replace(one, runs_dir=bench.runs / f".fresh {name}")
        prepared = timed(partial(prepare, one), cpu)
        first = prepared()
        again = [prepared() for _ in range(bench.rounds(5))]
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
