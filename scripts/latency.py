#!/usr/bin/env python
"""Measure the cost of using a network: latency, memory and file size, which no weight changes.

The script measures both networks of the paper over tables of one size, with random weights and
random sentences whose words follow Zipf's law. Each round times every network once, so that other
load on the machine affects all of them alike. Ratios are relative to the uncompressed network of
the same round. The networks are folded, as in `ccompress predict`.

    scripts/latency.py --out results/latency
"""

import argparse
import functools
import multiprocessing
import random
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from ccompress import machine
from ccompress.data.batches import Batch, Encoded, evaluation_batches
from ccompress.data.text.vocabulary import SPECIAL
from ccompress.deployment import model
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.methods.base import Size
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.methods.in_training_svd_mixed import InTrainingSVDMixed
from ccompress.methods.pre_training_svd import PreTrainingSVD
from ccompress.methods.quantization import Quantization
from ccompress.networks.base import Network, tensor_bytes
from ccompress.networks.folding import fold

NETWORKS = ("DAN", "LSTM")
RATES = (0.5, 0.7, 0.9, 0.95)
CLASSES = 2
TOKENS = 19.0  # the mean length of sst2's sentences


class Case(NamedTuple):
    """A network, the compression of its table, and the embedding that results."""

    network: str
    method: str
    rate: float
    size: str
    embedding: nn.Module


def main() -> None:
    """Measure, print the table and, with --out, write latency.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="V (default: %(default)s)")
    parser.add_argument("--dim", type=int, default=300, help="d (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="a folder for latency.csv")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    measured = []
    for network in NETWORKS:
        cases = list(_cases(network, options.rows, options.dim))
        nets = [_network(case) for case in cases]
        sizes = [_sizes(case, net, options.rows) for case, net in zip(cases, nets, strict=True)]
        times = _times([fold(net) for net in nets], options.rows, options.rounds)
        for case, size, columns in zip(cases, sizes, times, strict=True):
            measured.append({**case._asdict(), **size, **columns})
    table = pd.DataFrame(measured).drop(columns="embedding")
    print(f"V = {options.rows}, d = {options.dim}, {options.threads} thread(s)")
    print(machine.versions())
    print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out / "latency.csv", index=False, float_format="%.6g")


def _cases(network: str, rows: int, dim: int) -> Iterator[Case]:
    """The cases to measure, of which the first is the uncompressed network."""
    yield Case(network, "none", 0.0, f"d={dim}", nn.Embedding(rows, dim))
    for rate in RATES:
        rank = InTrainingSVD().size(rows, dim, rate).rank
        assert rank is not None
        factors = LowRankEmbedding(rows, dim, rank)
        yield Case(network, "in_training_svd", rate, f"k={rank}", factors)
    for rate in RATES:
        rank = PreTrainingSVD().size(rows, dim, rate).rank
        assert rank is not None
        yield Case(network, "pre_training_svd", rate, f"k={rank}", nn.Embedding(rows, rank))
    for rate in (0.5, 0.75, 0.9, 0.95):
        bits = Quantization().size(rows, dim, rate).bits
        assert bits is not None
        packed = QuantizedEmbedding(rows, dim, bits)
        packed.packed.random_(0, 256)
        packed.lower.fill_(-1.0)
        packed.upper.fill_(1.0)
        yield Case(network, "quantization", rate, f"b={bits}", packed)
    method = InTrainingSVDMixed()
    # The bits follow from the table: its singular values fall and its words follow Zipf's law.
    table = torch.randn(rows, dim) * torch.arange(1.0, dim + 1) ** -0.5
    counts = rows // torch.arange(1, rows + 1)
    for rate in (0.975, 0.99, 0.995):
        mixed = method.finish(method.compress(table, rate, counts))
        rank = method.shipped_size(mixed, Size()).rank
        yield Case(network, "in_training_svd_mixed", rate, f"k={rank}", mixed)


def _network(case: Case) -> Network:
    return model.build(model.factory(Network, _target(case)), case.embedding, CLASSES).eval()


def _target(case: Case) -> dict[str, str]:
    return {"_target_": f"ccompress.networks.{case.network}"}


def _sizes(case: Case, network: Network, rows: int) -> dict[str, float]:
    """Size of the tensors, of the file and in memory (MB), and operations per sentence."""
    words = [*SPECIAL, *_words(rows - len(SPECIAL))]
    config = {"network": _target(case)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / model.FILE
        labels = [str(i) for i in range(CLASSES)]
        small = model.Model(network, words, labels, "whitespace", config)
        file_bytes = model.save(path, small)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            resident = pool.apply(_resident_bytes, (path,))
    return {
        "tensors_MB": tensor_bytes(fold(network)) / 1e6,
        "file_MB": file_bytes / 1e6,
        "resident_MB": resident / 1e6,
        "flops_per_sentence": network.flops(TOKENS, fold(network).width),
    }


@functools.cache
def _words(count: int) -> list[str]:
    """Different words of 3 to 9 random letters: a file stores real words in no more bytes."""
    draw = random.Random(0)
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9)))] = None
    return list(words)


def _resident_bytes(path: Path) -> int:
    """The memory in bytes that loading a model adds to this process."""
    before = _resident()
    loaded = model.load(path)
    after = _resident()
    del loaded  # kept until here, so that `after` includes it
    return after - before


def _resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


@torch.no_grad()
def _times(networks: list[Network], rows: int, rounds: int) -> list[dict[str, float]]:
    """For batches of 1 and of 64: the median time, and the median ratio to the first network."""
    columns: list[dict[str, float]] = [{} for _ in networks]
    for size, sentences in ((1, 100), (64, 640)):
        batches = _batches(rows, sentences, size)
        seconds = torch.empty(rounds, len(networks), dtype=torch.double)
        for turn in range(-2, rounds):  # two rounds to warm up
            for i, network in enumerate(networks):
                seconds[max(turn, 0), i] = _round(network, batches)
        ratios = (seconds / seconds[:, :1]).median(0).values
        for i, column in enumerate(columns):
            column[f"batch{size}_ms"] = 1000 * float(seconds[:, i].median())
            column[f"batch{size}_ratio"] = float(ratios[i])
    return columns


def _round(network: Network, batches: list[Batch]) -> float:
    """The median time per batch in seconds."""
    times = []
    for batch in batches:
        began = time.perf_counter()
        network(batch)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def _batches(rows: int, sentences: int, size: int) -> list[Batch]:
    """Sentences of 1 to 50 words, 19 on average, in batches of `size`."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.empty(sentences).normal_(TOKENS, 9, generator=draw).round().clamp(1, 50).long()
    zipf = 1 / torch.arange(1.0, rows - len(SPECIAL) + 1)
    tokens = len(SPECIAL) + torch.multinomial(
        zipf, int(lengths.sum()), replacement=True, generator=draw
    )
    split = Encoded(tokens, lengths, torch.zeros_like(lengths))
    return list(evaluation_batches(split, size))


if __name__ == "__main__":
    main()
