"""The time for a column of the paper: the 31 results of one data set, network and seed."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.cases import SST2, Case, epochs, load, overrides, plain
from benchmarks.measuring import OURS, PLAIN, Bench, Row, alternate, compare
from ccompress.experiment.results import collect
from ccompress.numerics.rates import rank_of_factors, rank_of_projection

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
METHODS = ("none", "in_training_svd", "pre_training_svd", "quantization")
RESULTS = 1 + len(RATES) * (len(METHODS) - 1)  # one run of the reference serves all rates
SAMPLE = (0.1, 0.5, 0.9)  # the rates at which the plain loop is measured
SEED = 1  # other parts use seed 0, and their finished runs would not run again


@dataclass(frozen=True)
class Column:
    """The runs to measure: all rates of the column, or a few from which it is extrapolated."""

    network: str
    rates: tuple[float, ...]
    at_least: float


# The runs at the first rate also do the shared training. So the extrapolation leaves them out.
COLUMNS = (Column("dan", RATES, 5.0), Column("lstm", (0.9, 0.1, 0.5), 3.0))


def measure(bench: Bench) -> list[Row]:
    """The seconds for the column; ours is one call of the command in one process."""
    device = bench.devices[-1]
    rows = []
    for column in COLUMNS:
        rates = (0.9, 0.5) if bench.quick else column.rates
        case = load(bench, "sst2", SST2, column.network, 0.25)
        number = epochs(bench, SST2, column.network)
        ours = _ours(bench, column.network, rates, number)
        apart = separate(bench, case, device, number)
        measured = "whole" if rates == RATES else f"extrapolated from rates {_list(rates)}"
        rows += compare(
            f"{case.name}, {number} epochs, {RESULTS} results",
            device,
            "column",
            {OURS: [ours], PLAIN: [apart]},
            at_least=column.at_least,
            note=f"ours {measured}; plain loop extrapolated from rates {_list(SAMPLE)}",
        )
    return rows


def _list(rates: tuple[float, ...]) -> str:
    return " ".join(f"{rate:g}" for rate in rates)


def _ours(bench: Bench, network: str, rates: tuple[float, ...], epochs: int) -> float:
    """The seconds that the command takes, including its start."""
    command = [
        *(sys.executable, "-m", "ccompress.cli", "-m"),
        *overrides(bench, SST2),
        f"network={network}",
        f"method={','.join(METHODS)}",
        f"rate={','.join(map(str, rates))}",
        f"train.epochs={epochs}",
        f"seed={SEED}",
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    column = (network, SEED)
    results = [r for r in collect(bench.runs) if (r["network"], r["seed"]) == column]
    return extrapolated(seconds, results, len(RATES) - len(rates))


def extrapolated(seconds: float, results: Sequence[Mapping[str, Any]], missing: int) -> float:
    """The seconds of the whole column, if `missing` of its rates were not run.

    Each missing rate adds the mean time of a run of each method. That mean excludes the runs that
    did the shared training, which happens once for any number of rates.

    Args:
        seconds: The measured seconds.
        results: The results of the measured runs.
        missing: The number of rates that were not run.
    """
    for method in METHODS[1:]:
        of_method = [result for result in results if result["method"] == method]
        usual = [r for r in of_method if r["reused_stages"] or method == "pre_training_svd"]
        seconds += missing * fmean(result["total_seconds"] for result in usual)
    return seconds


def separate(bench: Bench, case: Case, device: torch.device, epochs: int) -> float:
    """The seconds of 31 trainings, each from its beginning, without reading the data.

    The reference and each quantization train the whole table. Pre-training SVD trains a table of k
    columns. In-training SVD trains the table for half of the epochs and the factors for the others.
    """
    rows, dim = case.table.shape
    loops = {"table": plain(case, device).epoch}
    for rate in SAMPLE:
        narrow = replace(case, table=case.table[:, : rank_of_projection(dim, rate)])
        loops[f"projection {rate}"] = plain(narrow, device).epoch
        loops[f"factors {rate}"] = plain(case, device, rank_of_factors(rows, dim, rate)).epoch
    measured = alternate(loops, bench.rounds(2))
    seconds = {name: median(map(case.whole, results)) for name, results in measured.items()}
    table = seconds["table"]
    projection, factors = (
        fmean(seconds[f"{kind} {rate}"] for rate in SAMPLE) for kind in ("projection", "factors")
    )
    before = epochs // 2
    mixed = before * table + (epochs - before) * factors
    return epochs * table + len(RATES) * (epochs * table + epochs * projection + mixed)
