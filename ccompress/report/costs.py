"""Tables of the costs of a compressed network: numbers, bytes, operations, time, memory."""

import pandas as pd

from ccompress.numerics.rates import rank_of_factors
from ccompress.report import provenance
from ccompress.report.aggregation import CELL
from ccompress.report.tables import NOTHING, Table, blocks, estimate, number, percent, size

# The worked example of Acharya et al. 2019: V, d and k.
EXAMPLE = (10_000, 300, 30)


def example() -> str:
    """A sentence with the source's worked example, and the rank that its rate allows."""
    rows, dim, rank = EXAMPLE
    table = rows * dim
    allowed = rank_of_factors(rows, dim, 0.9)
    parameters = {k: k * (rows + dim) for k in (rank, allowed)}
    counts = {
        k: f"{size:,} ({percent(1 - size / table, 2)} fewer)" for k, size in parameters.items()
    }
    return (
        f"The source's example: {rows:,} words x {dim} are {table:,} parameters; rank {rank} "
        f'leaves {counts[rank]}, its "almost 90 %"; rate 0.9 allows rank {allowed}, which leaves '
        f"{counts[allowed]}."
    )


def sizes(cells: pd.DataFrame, *, is_published: bool) -> Table:
    """The size of the embedding at each rate, with requested and achieved reduction.

    Args:
        cells: The result of `aggregation.summarize` for the runs.
        is_published: Whether to add the worked example of the source.
    """
    # All networks have the same table, so the first one represents them all.
    numbers = cells.drop_duplicates(["data", "method", "rate"])
    columns = ["data", "method", "rate", "achieved", "rank", "bits", "vocab_size", "dim"]
    numbers = numbers[[*columns, "embedding_bytes_original", "embedding_bytes"]].copy()
    numbers["parameters"] = numbers["embedding_bytes"] / 4
    shown = {
        provenance.shown_name(str(data)): pd.DataFrame(
            {
                "method": row["method"],
                "requested": percent(row["rate"]),
                "achieved": percent(row["achieved"], 2),
                "rank": number(row["rank"]),
                "bits": number(row["bits"]),
                "parameters": number(row["parameters"]),
                "bytes": number(row["embedding_bytes"]),
            }
            for _, row in block.iterrows()
        )
        for data, block in numbers.groupby("data", sort=False)
    }
    note = (
        "The embedding alone, as it is trained: scales, codebooks and both factors included (B is "
        "multiplied into the next layer when the network is deployed). Parameters are float32 "
        "numbers of 4 bytes; packed numbers count as the float32 numbers of the same bytes."
    )
    if is_published:
        note += f" {example()}"
    return Table("sizes", "Sizes of the embedding", note, numbers, shown)


def costs(cells: pd.DataFrame, measured: pd.DataFrame) -> Table:
    """The costs of the whole network: disk, memory, operations and time.

    Args:
        cells: The result of `aggregation.summarize` for the runs.
        measured: The result of `aggregation.measure` for the same runs.
    """
    columns = ["achieved", "n", "embedding_bytes", "model_bytes", "model_reduction"]
    columns += ["folded_bytes", "folded_reduction", "file_bytes", "flops_per_sentence"]
    numbers = cells[[*CELL, *columns]].merge(measured, on=CELL)
    numbers["peak_memory_kind"] = numbers["device"].map(_memory)
    devices = sorted(numbers["device"].unique())
    shown = {}
    for heading, block in blocks(numbers):
        lines = pd.DataFrame(_line(row) for _, row in block.iterrows())
        lines = lines if block["file_bytes"].notna().any() else lines.drop(columns="file")
        shown[heading] = lines if len(devices) > 1 else lines.drop(columns="device")
    note = (
        "The whole network as it is deployed, embedding included: the second factor of a "
        "factorised one is multiplied into the layer that reads it (folded). Its sizes, FLOPs and "
        "latency are all of that network; `model_bytes` in the CSV file is its size before "
        "folding. The file is the model as it ships: network, words and labels. It is shown where "
        "a run counted its parts: earlier versions wrote files that were not folded. FLOPs at the "
        "mean test length, 2 a multiply-add; latency at batch 1, one thread, mean with its 95 % "
        "t-interval over seeds; training time and peak memory are the run's own, means over the "
        "seeds of one device. Peak memory is what the process held (resident) on a CPU, what torch "
        "allocated on a GPU. "
        f"Measured on: {', '.join(devices)}."
    )
    return Table("costs", "What it costs", note, numbers, shown)


def _line(row: pd.Series) -> dict[str, str]:
    memory = number(row["peak_memory_bytes"] / 1e6)
    return {
        "method": row["method"],
        "requested (of the table)": percent(row["rate"]),
        "device": row["device"],
        "file": size(row["file_bytes"]),
        "parameters": number(row["folded_bytes"] / 4),
        "tensors": size(row["folded_bytes"]),
        "removed (of the network)": percent(row["folded_reduction"]),
        "FLOPs a sentence": number(row["flops_per_sentence"]),
        "latency (ms)": estimate(row, "latency", 3),
        "training (s)": number(row["train_seconds"]),
        "peak memory (MB)": memory if memory == NOTHING else f"{memory} {row['peak_memory_kind']}",
    }


def _memory(device: str) -> str:
    """The kind of memory that a run on `device` measures; see `experiment.measure.peak_memory`."""
    return "on the GPU" if device.startswith("cuda") else "resident"
