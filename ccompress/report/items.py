"""Intervals over seeds and test items together.

A mean over seeds says how much another seed would change it. It says nothing about another test
split, which is often the larger error. Experiments keep which test items each run classified
correctly (`correct.csv.xz`), so both can be resampled.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ccompress.errors import InputError
from ccompress.report.statistics import CONFIDENCE, Estimate, Floats

RESAMPLES = 2000


def read_correct(path: Path, sizes: Mapping[str, int]) -> dict[str, Floats]:
    """Read which test items each run classified correctly: run id -> 1 or 0 per item.

    Args:
        path: An experiment's `correct.csv.xz`.
        sizes: Run id -> number of test items, for the runs to read.

    Raises:
        InputError: There is no such file, or it lacks a run.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there: run the experiment, which writes it")
    packed = pd.read_csv(path, dtype=str).set_index("run_id")["correct"]
    if missing := sorted(sizes.keys() - set(packed.index)):
        raise InputError(f"{path} lacks {len(missing)} runs, such as {missing[0]}")
    return {run_id: _unpacked(packed[run_id], size) for run_id, size in sizes.items()}


def _unpacked(text: str, size: int) -> Floats:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=size)
    return bits.astype(np.float64)


def interval(cells: Iterable[tuple[str, Floats]], seed: int = 0) -> Estimate:
    """The mean of cells, each seeds x items, with a 95 % bootstrap interval over both.

    Seeds and items are resampled independently of each other (Owen, "The pigeonhole bootstrap",
    Annals of Applied Statistics 2007): the seeds of each cell, and the items of each data set,
    which its cells share. Cells are not resampled: the interval is for these data sets and
    networks, with other seeds and other test splits. A bootstrap of S seeds underestimates their
    variance by the factor S / (S - 1), so their part is widened by its root.

    Args:
        cells: For each cell, its data set and its differences in correctness, in points (seeds,
            items).
        seed: The seed of the resampling.

    Returns:
        The mean, the ends of the interval, and the smallest number of seeds.
    """
    generator = np.random.default_rng(seed)
    named = list(cells)
    of_items: dict[str, Floats] = {}
    drawn = np.zeros(RESAMPLES)
    for data, table in named:
        seeds, count = table.shape
        if data not in of_items:
            of_items[data] = _shares(generator, count)
        of_seeds = _shares(generator, seeds)
        if seeds > 1:
            of_seeds = 1 / seeds + (of_seeds - 1 / seeds) * np.sqrt(seeds / (seeds - 1))
        moved = np.einsum(
            "rs,si,ri->r", of_seeds, table - table.mean(), of_items[data], optimize=True
        )
        drawn += moved / len(named)
    mean = float(np.mean([table.mean() for _, table in named]))
    low, high = mean + np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(mean, float(low), float(high), min(len(table) for _, table in named))


def _shares(generator: np.random.Generator, count: int) -> Floats:
    """How often each of `count` values is drawn, as shares: (resamples, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def differences(correct: Mapping[str, Floats], pairs: Sequence[tuple[str, str]]) -> Floats:
    """The first run's correctness minus the second's, in points (pairs, items).

    Args:
        correct: Run id -> 1 for each item that the run classified correctly, otherwise 0.
        pairs: Pairs of run ids, one per seed.
    """
    return 100 * np.array([correct[first] - correct[second] for first, second in pairs])
