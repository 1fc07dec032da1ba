"""Peak resident memory of runs with a table of about 100,000 rows, each in its own process."""

import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context

import torch

from benchmarks.cases import IMDB, load, overrides, part, plain
from benchmarks.measuring import OURS, PLAIN, Bench, Row, row
from ccompress.experiment.measure import peak_memory
from ccompress.experiment.results import collect

SHARE = 0.6
# Each run and the plain loop train the whole table for two epochs, because in the second epoch a
# copy of the first is still in memory. in_training_svd continues from the stored epochs of none.
RUNS = (("none", 2), ("in_training_svd", 4))


def measure(bench: Bench) -> list[Row]:
    """The peak memory of our whole runs and of the plain loop's training."""
    cpu = torch.device("cpu")
    # This prepares the data, so that every process below only reads them.
    case = load(bench, "imdb", IMDB, "dan", 0.01)
    rows, dim = case.table.shape
    name = f"{case.name}, {rows:,} x {dim}"
    with get_context("spawn").Pool(1) as pool:
        limit = pool.apply(_plain_peak, (bench,))
    note = "two tenths of an epoch, with the longest review"
    measured = [_row(name, PLAIN, limit, limit, cpu, note)]
    for method, epochs in RUNS:
        peak = _peak(bench, method, epochs)
        measured.append(_row(f"{name}, {method}", OURS, peak, limit, cpu, "result.json"))
    return measured


def _row(case: str, contender: str, peak: int, limit: int, device: torch.device, note: str) -> Row:
    """The peak memory of a contender; `limit` is that of the plain loop."""
    is_ours = contender == OURS
    return row(
        case,
        device,
        "peak resident memory",
        contender,
        [peak / 1e6],
        unit="MB",
        times=limit / peak,
        target=f"at most {100 * SHARE:g} % of the plain loop's" if is_ours else "",
        met=peak <= SHARE * limit,
        note=f"{100 * peak / limit:.0f} %; {note}",
    )


def _peak(bench: Bench, method: str, epochs: int) -> int:
    """The peak memory of a run in bytes, from its result."""
    chosen = [f"method={method}", f"train.epochs={epochs}", "network=dan", "device=cpu"]
    command = [sys.executable, "-m", "ccompress.cli", *overrides(bench, IMDB), *chosen]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(
        int(result["peak_memory_bytes"])
        for result in collect(bench.runs)
        if result["method"] == method
    )


def _plain_peak(bench: Bench) -> int:
    """The peak memory of this process in bytes after it trained the plain loop.

    The loop trains a tenth of the reviews twice. This stands for two epochs, because the memory of
    a batch does not depend on earlier batches. The tenth includes the longest review, whose padding
    determines the peak.
    """
    torch.set_num_threads(bench.threads)
    cpu = torch.device("cpu")
    case = load(bench, "imdb", IMDB, "dan")
    longest = int(case.train.lengths.argmax())
    chosen = torch.tensor(sorted({*range(0, len(case.train), 10), longest}))
    loop = plain(replace(case, train=part(case.train, chosen)), cpu)
    loop.epoch()
    loop.epoch()
    return peak_memory(cpu)
