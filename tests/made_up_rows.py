"""Synthetic rows of runs.csv, computed from a formula for tests only. Nothing was measured."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ccompress.experiment import results
from ccompress.report import stored_runs

Row = dict[str, Any]
Grid = Callable[..., list[Row]]
Read = Callable[[list[Row]], pd.DataFrame]
Write = Callable[[list[Row]], Path]

# Reference accuracy, V, test size, classes, vectors: invented numbers near those of the real data.
DATA_SETS = {
    "sst2": (83.0, 13_000, 1821, 2, "imdb-glove.300d"),
    "trec": (88.0, 8_000, 500, 6, "imdb-glove.300d"),
    "snips": (98.0, 11_000, 700, 7, "imdb-glove.300d"),
    "clinc150": (90.0, 5_500, 4500, 150, "imdb-glove.300d"),
    "books": (95.0, 7_000, 2000, 20, "cooccurrence.300d"),
}
NETWORKS = ("dan", "lstm")
# The points lost at 90 %, and the exponent with which the loss grows as less is left.
LOSSES = {
    "in_training_svd": (0.4, 1.2),
    "pre_training_svd": (3.0, 1.6),
    "quantization": (2.2, 1.3),
    "codebook_quantization": (1.0, 1.4),
    "product_quantization": (0.8, 1.0),
    "own_method": (1.5, 1.1),
}
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def _row(
    dataset: str, network: str, method: str, rate: float, seed: int, schedule: str
) -> dict[str, Any]:
    accuracy, words, test, classes, vectors = DATA_SETS[dataset]
    shared = np.random.default_rng([seed, *map(ord, dataset + network)])
    noise = np.random.default_rng([seed, round(1000 * rate), *map(ord, dataset + network + method)])
    reached = accuracy + 0.5 * shared.standard_normal()
    dim, left = 300, 1 - rate
    rank = bits = None
    embedding = original = 4 * words * dim
    layer = 300 if network == "dan" else 4 * 150  # rows of the layer that reads the embedding
    others = 4 * (300 * 300 if network == "dan" else 4 * 150 * 150 + 150 * classes)
    model = folded = original + 4 * layer * dim + others
    if method != "none":
        loss, power = LOSSES[method]
        reached += -loss * (0.1 / left) ** power + 0.3 * noise.standard_normal()
        reached = max(reached, 100 / classes)
        if method == "in_training_svd":
            rank = math.floor(round(left * words * dim, 6) / (words + dim))
            embedding = 4 * rank * (words + dim)
            model = embedding + 4 * layer * dim + others
            folded = 4 * rank * words + 4 * layer * rank + others
        elif method == "pre_training_svd":
            rank = math.floor(round(left * dim, 6))
            embedding = 4 * rank * words
            model = folded = embedding + 4 * layer * rank + others
        else:
            bits = max(1, math.floor(round(32 * left, 6)))
            embedding = words * dim * bits // 8 + 8
            model = folded = embedding + 4 * layer * dim + others
    command = f"ccompress dataset={dataset} network={network} method={method} rate={rate:g} "
    command += f"schedule={schedule} seed={seed} vectors=file"
    return {
        "run_id": f"{dataset}-{network}-{method}-{rate:g}-{schedule}-{seed}",
        "protocol": 1,
        "status": "done",
        "overrides": command,
        "dataset": dataset,
        "network": network,
        "method": method,
        "rate": rate,
        "schedule": schedule,
        "seed": seed,
        "vectors": vectors,
        "vectors_sha256": "" if vectors.startswith("cooc") else "5a" * 32,
        "dim": dim,
        "vocab_policy": "train",
        "vocab_size": words,
        "vocab_with_vector": words - 321,
        "classes": classes,
        "train_size": 7000,
        "dev_size": 800,
        "test_size": test,
        "epochs": 15,
        "rank": rank,
        "bits": bits,
        "dev_accuracy": round(reached + 0.5, 4),
        "test_accuracy": round(round(min(reached, 99.7) * test / 100) * 100 / test, 6),
        "embedding_bytes_original": original,
        "embedding_bytes": embedding,
        "achieved_reduction": 1 - embedding / original,
        "model_bytes_original": original + 4 * layer * dim + others,
        "model_bytes": model,
        "model_reduction": 1 - model / (original + 4 * layer * dim + others),
        "folded_bytes": folded,
        "flops_per_sentence": 2 * (rank or dim) * 300 * (1 if network == "dan" else 12),
        "latency_ms": (0.08 if network == "dan" else 0.9) * (1 + 0.05 * noise.random() + left / 5),
        "train_seconds": 20.0,
        "total_seconds": 25.0,
        "reused_stages": 1,
        "peak_memory_bytes": 400_000_000,
        "device": "cpu",
        "threads": 1,
        "created": "2000-01-01T00:00:00+00:00",
    }


def make_grid(
    datasets: Iterable[str] = ("sst2",),
    networks: Iterable[str] = ("dan",),
    methods: Iterable[str] = ("in_training_svd", "pre_training_svd", "quantization"),
    rates: Iterable[float] = (0.5, 0.9),
    seeds: Iterable[int] = range(3),
    schedules: Iterable[str] = ("calr",),
) -> list[dict[str, Any]]:
    """Synthetic rows of every combination and of the reference."""
    cells = [("none", 0.0), *((method, rate) for method in methods for rate in rates)]
    return [
        dict.fromkeys(results.COLUMNS) | _row(dataset, network, method, rate, seed, schedule)
        for dataset in datasets
        for network in networks
        for schedule in schedules
        for method, rate in cells
        for seed in seeds
    ]


@pytest.fixture
def grid() -> Callable[..., list[dict[str, Any]]]:
    """The function that makes synthetic rows, `make_grid`."""
    return make_grid


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Writes rows as a runs.csv in an empty folder, and returns the file."""

    def write_rows(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "runs.csv"
        results.write_runs(path, rows)
        return path

    return write_rows


@pytest.fixture
def read(write: Callable[[list[Row]], Path]) -> Read:
    """Reads synthetic rows as a report does, and returns the finished runs."""
    return lambda stored: stored_runs.read(write(stored)).done


def accuracies(stored: list[Row], table: dict[tuple[str, float], list[float]]) -> list[Row]:
    """The rows of the cells in `table`, with the accuracies that `table` gives for each seed."""
    kept = [row for row in stored if (row["method"], row["rate"]) in table]
    for row in kept:
        row["test_accuracy"] = table[row["method"], row["rate"]][row["seed"]]
    return kept
