"""Time per epoch for tables of more and more rows; ours should stay constant."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure

from benchmarks.cases import SST2, Case, load, ours, plain, with_rows
from benchmarks.measuring import OURS, PLAIN, Bench, Row, alternate, compare, row
from benchmarks.plain import BATCH_SIZE
from ccompress.data.batches import Encoded
from ccompress.report.style import printing

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
FLAT = 1.5  # our longest epoch may take at most this many times as long as our shortest
# The plain loop trains STEPS / rows steps of an epoch, since more would take minutes. The time of
# the whole epoch is extrapolated.
STEPS = 3_000_000


def measure(bench: Bench) -> list[Row]:
    """The time of an epoch over the sentences of sst2, for each size of the table."""
    rows = []
    base = load(bench, "sst2", SST2, "dan")
    for device in bench.devices:
        ours = []
        for size in QUICK_SIZES if bench.quick else SIZES:
            measured = _epochs(bench, with_rows(base, size), device)
            rows += measured
            ours += [result for result in measured if result.contender == OURS]
        rows.append(_flatness(ours, base, device))
    draw(rows, bench.out)
    return rows


def _epochs(bench: Bench, case: Case, device: torch.device) -> list[Row]:
    """The epoch times of both contenders with one table."""
    rows, dim = case.table.shape
    steps = min(case.steps, max(3, STEPS // rows))
    few = replace(case, train=_first(case.train, steps * BATCH_SIZE))
    results = alternate(
        {OURS: ours(case, device), PLAIN: plain(few, device).epoch}, bench.rounds(5)
    )
    seconds = {
        OURS: [case.whole(epoch) for epoch in results[OURS]],
        PLAIN: [few.whole(epoch) for epoch in results[PLAIN]],
    }
    note = f"plain loop {few.note}" if few.note else ""
    return compare(f"{case.name}, {rows:,} x {dim}", device, "epoch", seconds, note=note)


def _first(split: Encoded, sentences: int) -> Encoded:
    """The first sentences of a split."""
    lengths = split.lengths[:sentences]
    return Encoded(split.tokens[: int(lengths.sum())], lengths, split.labels[:sentences])


def _flatness(ours: Sequence[Row], base: Case, device: torch.device) -> Row:
    """Our longest epoch as a multiple of our shortest."""
    medians = [result.median for result in ours]
    ratio = max(medians) / min(medians)
    return row(
        base.name,
        device,
        "longest / shortest epoch",
        OURS,
        [ratio],
        unit="",
        target=f"flat: at most {FLAT}",
        met=ratio <= FLAT,
    )


def draw(rows: Sequence[Row], out: Path) -> None:
    """Draw time per epoch against rows of the table, with both axes logarithmic."""
    epochs = [one for one in rows if one.quantity == "epoch"]
    out.mkdir(parents=True, exist_ok=True)
    with printing():
        figure = Figure(figsize=(3.5, 2.4), layout="constrained")
        ax = figure.subplots()
        devices = dict.fromkeys(one.device for one in epochs)
        for number, device in enumerate(devices):
            for contender, colour, marker in ((OURS, "#0072B2", "o"), (PLAIN, "#D55E00", "s")):
                line = [o for o in epochs if (o.device, o.contender) == (device, contender)]
                ax.errorbar(
                    [
                        int(one.case.split(", ")[-1].split(" x ")[0].replace(",", ""))
                        for one in line
                    ],
                    [one.median for one in line],
                    yerr=[[o.median - o.low for o in line], [o.high - o.median for o in line]],
                    color=colour,
                    marker=marker,
                    fillstyle="none" if number else "full",
                    label=f"{contender}, {device}",
                )
        ax.set(xscale="log", yscale="log")
        ax.set(xlabel="rows of the embedding table", ylabel="seconds per epoch")
        ax.legend(frameon=False)
        for kind, metadata in (("svg", {"Date": None}), ("png", {})):
            figure.savefig(out / f"vocabulary.{kind}", metadata=metadata)
