"""The time of a training step and of an epoch: ours, the plain loop's and Lightning's."""

from math import sqrt

import torch

from benchmarks.cases import IMDB, PHRASES, SST2, Case, contenders, load
from benchmarks.measuring import OURS, PLAIN, Bench, Row, alternate, compare, row
from benchmarks.plain import Epoch
from ccompress.numerics.rates import rank_of_factors

RATE = 0.9  # of the factorised tables


def measure(bench: Bench) -> list[Row]:
    """Training the whole table."""
    rows = []
    for device in bench.devices:
        rows += race(bench, load(bench, "sst2", SST2, "dan"), device, 7, 5.0)
        rows += race(bench, load(bench, "sst2", SST2, "lstm"), device, 3, 2.5)
        rows += race(bench, load(bench, "sst2 phrases", PHRASES, "dan", 0.1), device, 4)
        rows += race(bench, load(bench, "sst2 phrases", PHRASES, "lstm", 0.1), device, 3)
        imdb = load(bench, "imdb", IMDB, "dan", 0.1, 100_000)
        rows += race(bench, imdb, device, 5, 15.0)
    return rows


def measure_factors(bench: Bench) -> list[Row]:
    """Training the factors A (V x k) and B (k x d), as after the compression step."""
    rows = []
    for device in bench.devices:
        for case, rounds in (
            (load(bench, "sst2", SST2, "dan"), 5),
            (load(bench, "imdb", IMDB, "dan", 0.1, 100_000), 3),
        ):
            rank = rank_of_factors(len(case.table), case.table.shape[1], RATE)
            rows += race(bench, case, device, rounds, rank=rank)
    return rows


def race(
    bench: Bench,
    case: Case,
    device: torch.device,
    rounds: int,
    at_least: float | None = None,
    rank: int | None = None,
) -> list[Row]:
    """Train all contenders in turn; the rows give step time, epoch time and accuracy.

    Args:
        bench: The options of the benchmark.
        case: The training to measure.
        device: The device to train on.
        rounds: The number of measured epochs; one more epoch runs first, to warm up.
        at_least: The target: how many times faster than the plain loop our epoch should be.
        rank: Train factors of this rank instead of the table.
    """
    loops = contenders(case, device, rank)
    results = alternate(loops, bench.rounds(rounds))
    rows, dim = case.table.shape
    factors = f", rank {rank}" if rank else ""
    title = f"{case.name}, {rows:,} x {dim}{factors}"
    steps = {name: [1000 * case.step(e) for e in run] for name, run in results.items()}
    epochs = {name: [case.whole(e) for e in run] for name, run in results.items()}
    return [
        *compare(title, device, "step", steps, unit="ms"),
        *compare(title, device, "epoch", epochs, at_least=at_least, note=case.note),
        *accuracies(title, device, results, len(case.dev)),
    ]


def accuracies(
    case: str, device: torch.device, results: dict[str, list[Epoch]], sentences: int
) -> list[Row]:
    """The best dev accuracy of each contender; ours should equal the plain loop's within noise.

    The noise is two standard errors of the difference between two accuracies on this number of
    sentences. Two trainings that differ only in their random numbers differ by about as much.
    """
    best = {contender: max(e.dev_accuracy for e in run) for contender, run in results.items()}
    share = best[PLAIN] / 100
    noise = 2 * 100 * sqrt(2 * share * (1 - share) / sentences)
    rows = []
    for contender, accuracy in best.items():
        target = f"above {best[PLAIN] - noise:.1f}, the plain loop's less noise"
        rows.append(
            row(
                case,
                device,
                "best dev accuracy",
                contender,
                [accuracy],
                unit="%",
                target=target if contender == OURS else "",
                met=accuracy >= best[PLAIN] - noise,
            )
        )
    return rows
