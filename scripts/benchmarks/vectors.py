"""The time to read a text file as large as glove.6B.300d: the first time, and from the cache."""

import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import OURS, Bench, Row, row
from ccompress.data.vectors import File
from ccompress.experiment.measure import peak_memory

WORDS, DIM = 400_000, 300
SECONDS, MEGABYTES = 20, 1500
# The number of lines with different numbers. More would only take longer to write.
_DISTINCT = 1000


def measure(bench: Bench) -> list[Row]:
    """The seconds and peak memory of a process that only reads such a file."""
    cpu = torch.device("cpu")
    words = WORDS // 100 if bench.quick else WORDS
    path = bench.runs / "vectors.txt"
    write(path, words)
    name = f"{words:,} x {DIM}, {path.stat().st_size / 1e6:,.0f} MB of text"
    rows = []
    for quantity, is_first in (("read the first time", True), ("read again", False)):
        with get_context("spawn").Pool(1) as pool:
            seconds, processor, peak = pool.apply(read, (path, bench.runs / "vectors"))
        rows += [
            row(
                name,
                cpu,
                quantity,
                OURS,
                [seconds],
                target=f"under {SECONDS} s" if is_first else "",
                met=seconds < SECONDS,
                note=f"{processor:.1f} s of processor time",
            ),
            row(
                name,
                cpu,
                f"peak memory, {quantity}",
                OURS,
                [peak / 1e6],
                unit="MB",
                target=f"under {MEGABYTES:,} MB" if is_first else "",
                met=peak < 1e6 * MEGABYTES,
            ),
        ]
    path.unlink()
    return rows


def write(path: Path, words: int) -> None:
    """Write a file in GloVe's format, with five decimals as in glove.6B."""
    numbers = 0.4 * np.random.default_rng(0).standard_normal((_DISTINCT, DIM))
    ends = [" ".join(f"{number:.5f}" for number in line) for line in numbers]
    with path.open("w", encoding="utf-8") as file:
        for word in range(words):
            file.write(f"word{word} {ends[word % _DISTINCT]}\n")


def read(path: Path, cache: Path) -> tuple[float, float, int]:
    """Read the file; the wall time and processor time in seconds, and the peak memory in bytes."""
    began, processor_began = time.perf_counter(), time.process_time()
    File(path=str(path)).load(path.parent, cache, [])
    wall, processor = time.perf_counter() - began, time.process_time() - processor_began
    return wall, processor, peak_memory(torch.device("cpu"))
