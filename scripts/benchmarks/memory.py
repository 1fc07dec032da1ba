"""Peak resident memory of a run with a table of about 100,000 rows, each in its own process."""

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
# Two epochs of the whole table in each, as of the plain loop: the second keeps its best epoch while
# the first's is there. in_training_svd goes on from the stored epochs of none.
RUNS = (("none", 2), ("in_training_svd", 4))


def measure(bench: Bench) -> list[Row]:
    """The peak of whole runs of ours, and of the plain loop's training."""
    cpu = torch.device("cpu")
    case = load(bench, "imdb", IMDB, "dan", 0.01)  # prepared here, so that all begin with reading
    rows, dim = case.table.shape
    name = f"{case.name}, {rows:,} x {dim}"
    with get_context("spawn").Pool(1) as pool:
        most = pool.apply(_plain_peak, (bench,))
    measured = [
        _row(name, PLAIN, most, most, cpu, "two tenths of an epoch, the longest review in them")
    ]
    for method, epochs in RUNS:
        peak = _peak(bench, method, epochs)
        measured.append(_row(f"{name}, {method}", OURS, peak, most, cpu, "result.json"))
    return measured


def _row(case: str, contender: str, peak: int, most: int, device: torch.device, note: str) -> Row:
    is_ours = contender == OURS
    return row(
        case,
        device,
        "peak resident memory",
        contender,
        [peak / 1e6],
        unit="MB",
        times=most / peak,
        target=f"at most {100 * SHARE:g} % of the plain loop's" if is_ours else "",
        met=peak <= SHARE * most,
        note=f"{100 * peak / most:.0f} %; {note}",
    )


def _peak(bench: Bench, method: str, epochs: int) -> int:
    """Peak memory of a run, from its result."""
    chosen = [f"method={method}", f"train.epochs={epochs}", "network=dan", "device=cpu"]
    command = [sys.executable, "-m", "ccompress.cli", *overrides(bench, IMDB), *chosen]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(
        int(result["peak_memory_bytes"])
        for result in collect(bench.runs)
        if result["method"] == method
    )


def _plain_peak(bench: Bench) -> int:
    """Peak memory of this process after it trained the plain loop.

    A tenth of the reviews, twice, stands for two epochs, since a batch's memory does not depend on
    those before; the longest review, whose padding decides the peak, is among them.
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
