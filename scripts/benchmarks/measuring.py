"""Measure contenders in turn, and store and print the measurements."""

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
    """The options of the benchmark, which every part receives.

    Attributes:
        quick: Try the script: measure once, on a small part of the embedded data set.
        threads: The number of CPU threads of each contender.
        runs: The folder for runs and prepared data, which is deleted when the benchmark ends.
        out: The folder for figures.
    """

    quick: bool
    threads: int
    runs: Path
    out: Path

    @property
    def devices(self) -> list[torch.device]:
        """The CPU and, if there is one, the GPU."""
        return [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()

    def rounds(self, number: int) -> int:
        """How often to measure: `number` times, or once in a quick trial."""
        return 1 if self.quick else number


@dataclass(frozen=True)
class Row:
    """One quantity of one contender; its fields are columns of the stored CSV files.

    Attributes:
        case: What was measured.
        device: The device's name.
        quantity: The name of the quantity.
        unit: The unit of `median`, `low` and `high`.
        contender: The contender's name.
        median: The median of `n` measurements.
        low: The smallest measurement.
        high: The largest measurement.
        n: The number of measurements.
        times: How many times better than the plain loop's median; None without a comparison.
        target: The value to reach; empty without a target.
        met: "yes" or "no" if there is a target, otherwise empty.
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
    """One row per contender, which says how many times less it takes than the plain loop.

    Args:
        case: What was measured.
        device: The device.
        quantity: The name of the quantity, of which less is better.
        samples: The measurements of each contender, including the plain loop.
        unit: The unit of the samples.
        at_least: The target: the plain loop takes at least this many times as much as ours.
        note: A note for every row.
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
    """Call all contenders in turn, `rounds` times, and return what each call returned.

    Calls that follow each other meet the same load of the machine. The order is reversed in each
    round, because one contender may benefit from the caches that another leaves. The results of the
    first `warm_up` rounds are dropped.
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
    """A function that runs `function` and returns its seconds, including the GPU's work."""

    def measure() -> float:
        began = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    return measure


def write(path: Path, rows: Sequence[Row], threads: int) -> None:
    """Write rows as CSV, each with a description of this machine."""
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
        for measurement in rows:
            columns = {key: _rounded(value) for key, value in vars(measurement).items()}
            writer.writerow({**columns, **machine})


def machine_name() -> str:
    """The processor, cores, memory and system, as the results name them."""
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
        target = f"target {one.target}: {one.met}" if one.target else ""
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
                "; ".join(filter(None, [target, one.note])),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _rounded(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
