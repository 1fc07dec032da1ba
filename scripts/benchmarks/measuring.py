"""Measuring side by side, and what is kept of it."""

import csv
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from ccompress import cores
from ccompress.experiment.measure import git_commit
from ccompress.machine import choose_device, device_name, versions

OURS, PLAIN, LIGHTNING = "ccompress", "plain loop", "lightning"

T = TypeVar("T")


@dataclass(frozen=True)
class Bench:
    """What every part is given.

    Attributes:
        quick: Everything on a small part of the embedded data set, once: a try of the script.
        threads: CPU threads, of each contender alike.
        runs: The folder of runs and of prepared data, which goes when the benchmark ends.
        out: Where figures go.
    """

    quick: bool
    threads: int
    runs: Path
    out: Path

    @property
    def devices(self) -> list[torch.device]:
        """The CPU, and CUDA where there is one."""
        return [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()

    def rounds(self, number: int) -> int:
        """How often to measure: `number` times, once where it is a try."""
        return 1 if self.quick else number


@dataclass(frozen=True)
class Row:
    """One quantity of one contender.

    Attributes:
        low: The smallest of `n` measurements; `high` the largest.
        times: How many times less than the plain loop's median (more, where more is better).
        target: What issue or reader asks for; empty where nothing is asked.
        met: "yes" or "no" where there is a target.
        note: What was extrapolated or left out.
    """

    case: str
    device: str
    quantity: str
    unit: str
    contender: str
    median: float
    low: float
    high: float
    n: int
    times: float | None = None
    target: str = ""
    met: str = ""
    note: str = ""


def row(
    case: str,
    device: torch.device,
    quantity: str,
    contender: str,
    values: Sequence[float],
    *,
    unit: str = "s",
    times: float | None = None,
    target: str = "",
    met: bool = True,
    note: str = "",
) -> Row:
    """A row with the median and the spread of `values`."""
    return Row(
        case,
        device_name(device),
        quantity,
        unit,
        contender,
        median(values),
        min(values),
        max(values),
        len(values),
        times,
        target,
        ("yes" if met else "no") if target else "",
        note,
    )


def compare(
    case: str,
    device: torch.device,
    quantity: str,
    samples: Mapping[str, Sequence[float]],
    *,
    unit: str = "s",
    at_least: float | None = None,
    note: str = "",
) -> list[Row]:
    """A row per contender, each with how many times less it takes than the plain loop.

    Args:
        case: What is measured.
        device: Where.
        quantity: Of what the samples are, less being better.
        samples: The measurements of each contender, the plain loop among them.
        unit: Of the samples.
        at_least: The target: ours takes so many times less than the plain loop.
        note: Added to every row.
    """
    plain = median(samples[PLAIN])
    rows = []
    for contender, values in samples.items():
        times = plain / median(values)
        target = f"{at_least:g} times less" if at_least and contender == OURS else ""
        met = times >= (at_least or 0)
        rows.append(
            row(
                case,
                device,
                quantity,
                contender,
                values,
                unit=unit,
                times=times,
                target=target,
                met=met,
                note=note,
            )
        )
    return rows


def alternate(
    contenders: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 1
) -> dict[str, list[T]]:
    """What each contender returns when all are called in turn, `rounds` times.

    Neighbours in time see the same machine, whatever else it does; the order turns round every
    time, since the first may leave caches to the second. `warm_up` rounds before do not count.
    """
    results: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(warm_up + rounds):
        names = list(contenders)
        for name in names if number % 2 else reversed(names):
            result = contenders[name]()
            if number >= warm_up:
                results[name].append(result)
    return results


def timed(function: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """A function that returns the seconds that `function` takes, on the device too."""

    def measure() -> float:
        began = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    return measure


def write(path: Path, rows: Sequence[Row], threads: int) -> None:
    """Write rows as CSV, each with the machine that it was measured on."""
    machine = {
        "threads": threads,
        "machine": machine_name(),
        "versions": versions(choose_device("auto")),
        "git_commit": git_commit(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in fields(Row)]
        writer = csv.DictWriter(file, [*names, *machine], lineterminator="\n")
        writer.writeheader()
        for one in rows:
            plain = {key: _rounded(value) for key, value in vars(one).items()}
            writer.writerow({**plain, **machine})


def machine_name() -> str:
    """Processor, cores, memory and system, as results name them."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = (
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        )
        processor = next(models, processor).partition(":")[2].strip() or processor
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{processor}, {cores.available()} cores, {memory:.0f} GiB, {platform.system()}"


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    print(f"\n{title}")
    head = ("case", "device", "quantity", "contender", "median", "low .. high", "n", "times", "")
    lines = [head]
    for one in rows:
        asked = f"target {one.target}: {one.met}" if one.target else ""
        lines.append(
            (
                one.case,
                one.device,
                one.quantity,
                one.contender,
                f"{one.median:.4g} {one.unit}",
                f"{one.low:.4g} .. {one.high:.4g}",
                str(one.n),
                "" if one.times is None else f"{one.times:.2f}",
                "; ".join(filter(None, [asked, one.note])),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _rounded(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
