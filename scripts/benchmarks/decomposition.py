"""The time and error of the compression step: the factors of a table of 100,000 x 300."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import IMDB, load
from benchmarks.measuring import OURS, Bench, Row, alternate, row, timed
from ccompress.numerics.rates import rank_of_factors
from ccompress.numerics.svd import factorize

RATE = 0.9
SECONDS = 3.0
ERROR = 1e-5  # as a fraction of the table's norm; float32 itself rounds at 6e-8
FULL = "torch.linalg.svd"


def measure(bench: Bench) -> list[Row]:
    """The time of our decomposition and of the full one, and our error against the exact one."""
    case = load(bench, "imdb", IMDB, "dan", 0.01, 2_000 if bench.quick else 100_000)
    rows, dim = case.table.shape
    rank = rank_of_factors(rows, dim, RATE)
    name = f"{rows:,} x {dim}, rank {rank}"
    best = _best(case.table, rank)
    measured = []
    for device in bench.devices:
        table = case.table.to(device)
        seconds = alternate(
            {
                OURS: timed(partial(factorize, table, rank), device),
                FULL: timed(partial(torch.linalg.svd, table, full_matrices=False), device),
            },
            bench.rounds(3),
        )
        A, B = (factor.cpu().double().numpy() for factor in factorize(table, rank))
        error = float(np.linalg.norm(A @ B - best) / np.linalg.norm(table.cpu()))
        for contender, values in seconds.items():
            is_ours = contender == OURS
            target = f"under {SECONDS:g} s" if is_ours else ""
            met = max(values) < SECONDS
            measured.append(
                row(name, device, "decomposition", contender, values, target=target, met=met)
            )
        measured.append(
            row(
                name,
                device,
                "|A B - E_k| / |E|",
                OURS,
                [error],
                unit="",
                target=f"at most {ERROR:g}",
                met=error <= ERROR,
                note="E_k of numpy.linalg.svd in float64",
            )
        )
    return measured


def _best(table: Tensor, rank: int) -> np.ndarray:
    """The best approximation of the given rank, from the full decomposition in float64."""
    left, values, right = np.linalg.svd(table.double().numpy(), full_matrices=False)
    best: np.ndarray = (left[:, :rank] * values[:rank]) @ right[:rank]
    return best
