"""The time for the whole `paper` experiment on one GPU, and the limits of a single run.

We run many runs at the same time; the plain loop runs one after the other. The limits of a single
run are how long a step takes, how many kernels it launches, and how long the GPU works on them. For
the rest of the step the GPU waits for the host, which CUDA graphs would save.
"""

import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import groupby

import torch

from benchmarks import cases
from benchmarks.cases import VECTORS, epochs, load, overrides, part
from benchmarks.measuring import OURS, PLAIN, Bench, Row, compare, row
from benchmarks.sweep import METHODS, RESULTS, SAMPLE, separate
from ccompress import cores

# A single small network is limited by the launches of its kernels, so one process leaves most of
# the GPU idle. The joblib launcher runs many processes at the same time.
PROCESSES = cores.available()
SEEDS = (0, 1, 2, 3, 4)
MINUTES = 15.0
AT_LEAST = 20.0


@dataclass(frozen=True)
class Cell:
    """A data set and a network of the experiment."""

    dataset: str
    network: str

    @property
    def data(self) -> tuple[str, ...]:
        """The options for its data; books has its own vectors."""
        return (f"dataset={self.dataset}", *([VECTORS] if self.dataset != "books" else []))


CELLS = [
    Cell(dataset, network)
    for network in ("dan", "lstm")
    for dataset in ("sst2", "trec", "snips", "clinc150", "books")
]
MEASURED = [Cell("sst2", "dan"), Cell("trec", "lstm"), Cell("clinc150", "lstm")]


def measure(bench: Bench) -> list[Row]:
    """The rows of all measurements; empty without a CUDA device."""
    if not torch.cuda.is_available():
        return []
    device = torch.device("cuda")
    return [row for cell in MEASURED for row in launches(bench, cell, device)] + paper(
        bench, device
    )


def launches(bench: Bench, cell: Cell, device: torch.device) -> list[Row]:
    """A step of a cell's reference training: its time, its kernels and their time on the GPU."""
    case = load(bench, cell.dataset, cell.data, cell.network, 0.25)
    # With a dev split of one sentence, the time of an epoch is almost only that of its steps.
    case = replace(case, dev=part(case.dev, torch.tensor([0])))
    epoch = cases.ours(case, device)
    warm_up = 2
    steps = [1000 * case.step(epoch()) for _ in range(warm_up + bench.rounds(5))][warm_up:]
    with torch.profiler.profile() as profile:
        epoch()
    kernels = [
        event.time_range.elapsed_us()
        for event in profile.events() or []
        if event.device_type.name == "CUDA"
    ]
    working = sum(kernels) / 1000 / case.steps
    title = f"{case.name}, one process"
    return [
        row(title, device, "step", OURS, steps, unit="ms"),
        row(title, device, "kernels per step", OURS, [len(kernels) / case.steps], unit=""),
        row(title, device, "GPU time per step", OURS, [working], unit="ms"),
    ]


def paper(bench: Bench, device: torch.device) -> list[Row]:
    """The seconds for the experiment's 1,550 results, extrapolated from three cells.

    The extrapolation assumes that the time of a cell is proportional to its number of steps.
    """
    seeds = SEEDS[:1] if bench.quick else SEEDS
    steps = {cell: _steps(bench, cell) for cell in CELLS}
    ours, plain = 0.0, 0.0
    for network, cells in groupby(MEASURED, key=lambda cell: cell.network):
        measured = list(cells)
        share = sum(steps[cell] for cell in CELLS if cell.network == network) / sum(
            steps[cell] for cell in measured
        )
        results = len(seeds) * (1 + len(SAMPLE) * (len(METHODS) - 1))
        ours += _ours(bench, measured, seeds, device) * share * len(SEEDS) * RESULTS / results
        for cell in measured:
            case = load(bench, cell.dataset, cell.data, network, 0.25)
            number = epochs(bench, cell.data, network)
            plain += separate(bench, case, device, number) * share * len(SEEDS)
    note = (
        f"extrapolated from {', '.join(f'{c.dataset} {c.network}' for c in MEASURED)} and rates "
        f"{' '.join(f'{rate:g}' for rate in SAMPLE)}; ours {PROCESSES} processes"
    )
    title = "paper, 1,550 results"
    samples = {OURS: [ours], PLAIN: [plain]}
    return [
        *compare(title, device, "whole", samples, at_least=AT_LEAST, note=note),
        row(
            title,
            device,
            "whole, minutes",
            OURS,
            [ours / 60],
            unit="min",
            target=f"under {MINUTES:g} min",
            met=ours < 60 * MINUTES,
            note=note,
        ),
    ]


def _steps(bench: Bench, cell: Cell) -> int:
    """The number of steps in one training of a cell."""
    case = load(bench, cell.dataset, cell.data, cell.network)
    return case.whole_steps * epochs(bench, cell.data, cell.network)


def _ours(bench: Bench, cells: list[Cell], seeds: tuple[int, ...], device: torch.device) -> float:
    """The seconds of the commands that run these cells at a few rates, including their start.

    Raises:
        subprocess.CalledProcessError: A run failed.
    """
    seconds = 0.0
    for cell in cells:
        command = [
            *(sys.executable, "-m", "ccompress.cli", "-m"),
            *(word for word in overrides(bench, cell.data) if not word.startswith("threads=")),
            f"network={cell.network}",
            f"method={','.join(METHODS)}",
            f"rate={','.join(map(str, SAMPLE))}",
            f"train.epochs={epochs(bench, cell.data, cell.network)}",
            f"seed={','.join(map(str, seeds))}",
            f"device={device.type}",
            "force=true",  # other parts may have run some of these
            "hydra/launcher=joblib",
            f"hydra.launcher.n_jobs={PROCESSES}",
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds += time.perf_counter() - began
    return seconds
