"""The numbers in the prose of the README and the result pages are computed again from the rows.

Each claim has a page, its words on that page with {} in place of the numbers, and the computation
of the numbers. The computations use only pandas and scipy, so that a fault in the reports shows
too. After new rows, these tests show which sentences must change.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
CELL = ["dataset", "network"]
SVD, BEFORE, EVEN = "in_training_svd", "pre_training_svd", "quantization"


@dataclass(frozen=True)
class Claim:
    """A claim on a page: its `text` with {} in place of the `numbers`."""

    page: str
    text: str
    numbers: Callable[[], tuple[Any, ...]]


def rows(experiment: str, **where: Any) -> pd.DataFrame:
    """The finished runs of a committed experiment that have these values."""
    frame = pd.read_csv(ROOT / "results" / experiment / "runs.csv")
    frame = frame[frame["status"] == "done"]
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


def accuracies(experiment: str, method: str, rate: float, **where: Any) -> pd.DataFrame:
    """Accuracy on test (cells, seeds)."""
    chosen = rows(experiment, method=method, **where)
    chosen = chosen[chosen["rate"].eq(0.0 if method == "none" else rate)]
    return chosen.pivot(index=CELL, columns="seed", values="test_accuracy")


def estimate(by_seed: pd.Series) -> tuple[float, float, float]:
    """Mean and 95 % t-interval over seeds."""
    mean = by_seed.mean()
    half = stats.t.ppf(0.975, len(by_seed) - 1) * by_seed.std(ddof=1) / math.sqrt(len(by_seed))
    return mean, mean - half, mean + half


def drop(experiment: str, method: str, rate: float, **where: Any) -> tuple[float, float, float]:
    """The drop in points, averaged over the cells, with its interval over seeds."""
    reference = accuracies(experiment, "none", rate, **where)
    return estimate((reference - accuracies(experiment, method, rate, **where)).mean())


def ahead(experiment: str, other: str, rate: float) -> tuple[float, float, float]:
    """The points by which in_training_svd is better than another method.

    They are averaged over the cells, with the interval over seeds.
    """
    difference = accuracies(experiment, SVD, rate) - accuracies(experiment, other, rate)
    return estimate(difference.mean())


def best_other(experiment: str, rate: float) -> tuple[float, float, float]:
    """The drop of the other method that is best in each cell, averaged over the cells."""
    reference = accuracies(experiment, "none", rate)
    drops = [reference - accuracies(experiment, method, rate) for method in (BEFORE, EVEN)]
    best = pd.concat(
        min((table.loc[[cell]] for table in drops), key=lambda row: row.to_numpy().mean())
        for cell in reference.index
    )
    return estimate(best.mean())


def with_own_rates(method: str, rate: float) -> tuple[float, float, float]:
    """The drop if the reference and the method each use the learning rate that dev chooses."""
    frame = rows("own_rates")
    frame["upper"] = frame["overrides"].str.extract(r"schedule\.upper=(\S+)").astype(float)
    frame = frame[frame["seed"].isin(range(5))]

    def at_chosen_rate(name: str, at: float) -> pd.DataFrame:
        runs = frame[(frame["method"] == name) & (frame["rate"] == at)]
        dev = runs.pivot_table("dev_accuracy", CELL, "upper")
        smallest = {
            cell: line[line >= line.max() - 0.5].index.min() for cell, line in dev.iterrows()
        }
        taken = [smallest[cell] for cell in zip(runs["dataset"], runs["network"], strict=True)]
        chosen = runs[runs["upper"] == taken]
        return chosen.pivot(index=CELL, columns="seed", values="test_accuracy")

    return estimate((at_chosen_rate("none", 0.0) - at_chosen_rate(method, rate)).mean())


def difference(experiment: str, first: dict[str, str], second: dict[str, str]) -> tuple[float, ...]:
    """The accuracy of the runs of `first` minus that of the runs of `second`.

    It is averaged over the cells, with the interval over seeds.
    """
    tables = [
        rows(experiment, **where).pivot(index=CELL, columns="seed", values="test_accuracy")
        for where in (first, second)
    ]
    return estimate((tables[0] - tables[1]).mean())


def shrunk(column: str, method: str, rate: float) -> float:
    """The percentage of the network's bytes that is removed, averaged over the cells.

    Args:
        column: The column of the bytes that remain.
    """
    frame = rows("paper", method=method, rate=rate, seed=0)
    return 100 * float((1 - frame[column] / frame["model_bytes_original"]).mean())


CLAIMS = [
    Claim(
        "README.md",
        "The network that ships shrinks by {:.1f} and {:.1f} %",
        lambda: tuple(shrunk("folded_bytes", SVD, rate) for rate in (0.9, 0.95)),
    ),
    Claim(
        "results/paper/source.md",
        "by {:.1f} % as it trains and by {:.1f} % as it ships",
        lambda: tuple(shrunk(column, SVD, 0.9) for column in ("model_bytes", "folded_bytes")),
    ),
    Claim(
        "README.md",
        "**90 % of the table costs {:.2f} points of accuracy** [{:.2f}, {:.2f}] with the paper's "
        "method",
        lambda: drop("paper", SVD, 0.9),
    ),
    Claim("README.md", "95 % costs {:.2f} [{:.2f}, {:.2f}]", lambda: drop("paper", SVD, 0.95)),
    Claim(
        "README.md",
        "the best other method of each cell loses {:.2f} points at 90 %",
        lambda: best_other("paper", 0.9)[:1],
    ),
    Claim(
        "README.md",
        "SVD *before* training is as good on average: {:.2f} points against {:.2f}",
        lambda: (with_own_rates(BEFORE, 0.9)[0], with_own_rates(SVD, 0.9)[0]),
    ),
    Claim(
        "results/paper/README.md",
        "`in_training_svd` drops {:.2f} points [{:.2f}, {:.2f}] on average.",
        lambda: drop("paper", SVD, 0.9),
    ),
    Claim(
        "results/paper/README.md",
        "The best other method of each cell drops {:.2f} [{:.2f}, {:.2f}].",
        lambda: best_other("paper", 0.9),
    ),
    Claim(
        "results/paper/README.md",
        "On average `in_training_svd` is {:.2f} points [{:.2f}, {:.2f}] above `pre_training_svd`",
        lambda: ahead("paper", BEFORE, 0.9),
    ),
    Claim(
        "results/paper/README.md",
        "and {:.2f} [{:.2f}, {:.2f}] above `quantization`",
        lambda: ahead("paper", EVEN, 0.9),
    ),
    Claim(
        "results/paper/README.md",
        "At 95 % of the table `in_training_svd` drops {:.2f} [{:.2f}, {:.2f}]",
        lambda: drop("paper", SVD, 0.95),
    ),
    Claim(
        "results/paper/README.md",
        "best other method of each cell {:.2f} [{:.2f}, {:.2f}]",
        lambda: best_other("paper", 0.95),
    ),
    Claim(
        "results/paper/README.md",
        "{:.1f} points at 50 % of the table, {:.1f} at 80 %, {:.1f} at 90 % and {:.1f} at 95 % on "
        "average",
        lambda: tuple(drop("paper", BEFORE, rate)[0] for rate in (0.5, 0.8, 0.9, 0.95)),
    ),
    Claim(
        "results/paper/README.md",
        "`pre_training_svd` drops {:.2f} points [{:.2f}, {:.2f}] at 90 % of the table "
        "instead of {:.2f}",
        lambda: (*with_own_rates(BEFORE, 0.9), drop("paper", BEFORE, 0.9)[0]),
    ),
    Claim(
        "results/paper/README.md",
        "and {:.2f} [{:.2f}, {:.2f}] at 95 % instead of {:.2f}",
        lambda: (*with_own_rates(BEFORE, 0.95), drop("paper", BEFORE, 0.95)[0]),
    ),
    Claim(
        "results/paper/README.md",
        "`in_training_svd` drops {:.2f} [{:.2f}, {:.2f}] and {:.2f} [{:.2f}, {:.2f}].",
        lambda: (*with_own_rates(SVD, 0.9), *with_own_rates(SVD, 0.95)),
    ),
    Claim(
        "results/paper/source.md",
        "It is {:.0f} % of the uncompressed network on average over the ten cells",
        lambda: (
            100
            * (lambda r: r["embedding_bytes_original"] / r["model_bytes_original"])(
                rows("paper", method="none", seed=0)
            ).mean(),
        ),
    ),
    Claim(
        "results/paper/source.md",
        "{:.2f} points [{:.2f}, {:.2f}] on average; no cell's interval",
        lambda: drop("paper", SVD, 0.9),
    ),
    Claim(
        "results/paper/source.md",
        "by {:.2f} points [{:.2f}, {:.2f}] at 90 %. With a rate chosen for each method",
        lambda: ahead("paper", BEFORE, 0.9),
    ),
    Claim(
        "results/paper/source.md",
        "At 90 % by {:.2f} points [{:.2f}, {:.2f}], with own rates",
        lambda: ahead("paper", EVEN, 0.9),
    ),
    Claim(
        "results/paper/source.md",
        "It loses {:.2f} points [{:.2f}, {:.2f}]. | less",
        lambda: best_other("paper", 0.9),
    ),
    Claim(
        "results/paper/source.md",
        "trec with the LSTM loses most, {:.2f} points",
        lambda: drop("paper", SVD, 0.9, dataset="trec", network="lstm")[:1],
    ),
    Claim(
        "results/schedules/README.md",
        "| `none` | {:.2f} [{:.2f}, {:.2f}], not significant | {:.2f} [{:.2f}, {:.2f}], not",
        lambda: (
            *difference("schedules", *({"method": "none", "schedule": s} for s in ("calr", "clr"))),
            *difference(
                "schedules", *({"method": "none", "schedule": s} for s in ("calr", "fixed"))
            ),
        ),
    ),
    Claim(
        "results/schedules/README.md",
        "| `in_training_svd` | {:.2f} [{:.2f}, {:.2f}], p = 0.010 | {:.2f} [{:.2f}, {:.2f}], not",
        lambda: (
            *difference("schedules", *({"method": SVD, "schedule": s} for s in ("calr", "clr"))),
            *difference("schedules", *({"method": SVD, "schedule": s} for s in ("calr", "fixed"))),
        ),
    ),
    *(
        Claim(
            "results/vocabulary/README.md",
            f"| {dataset} | " + " | ".join(["{:.1f} / {:.1f}"] * 3) + " |",
            lambda dataset=dataset: tuple(
                drop("vocabulary", method, rate, dataset=dataset)[0]
                for method in (SVD, BEFORE, EVEN)
                for rate in (0.9, 0.95)
            ),
        )
        for dataset in ("sst2", "imdb")
    ),
    Claim(
        "results/glove100/README.md",
        "`in_training_svd` drops {:.1f} points [{:.1f}, {:.1f}] on average over eight cells",
        lambda: drop("glove100", SVD, 0.9),
    ),
    Claim(
        "results/glove100/README.md",
        "At 90 % of the table the best other method of each cell drops {:.1f} points "
        "[{:.1f}, {:.1f}]",
        lambda: best_other("glove100", 0.9),
    ),
    Claim(
        "results/glove100/README.md",
        "`in_training_svd` is {:.1f} points [{:.1f}, {:.1f}] above `pre_training_svd` on average",
        lambda: ahead("glove100", BEFORE, 0.9),
    ),
    Claim(
        "results/phrases/README.md",
        "dan: `in_training_svd` drops {:.1f} points at 90 and at 95 % of the table, "
        "`pre_training_svd` {:.1f} and {:.1f}, `quantization` {:.1f} and {:.1f}.",
        lambda: (
            drop("phrases", SVD, 0.9, network="dan")[0],
            *(
                drop("phrases", method, rate, network="dan")[0]
                for method in (BEFORE, EVEN)
                for rate in (0.9, 0.95)
            ),
        ),
    ),
    Claim(
        "results/beyond/README.md",
        "`in_training_svd_int8` has {:.1f} and {:.1f} % on clinc150 (dan, lstm; the reference "
        "{:.1f} and {:.1f}) and {:.1f} and {:.1f} % on sst2 ({:.1f} and {:.1f}).",
        lambda: tuple(
            accuracies("beyond", method, 0.99).loc[(dataset, network)].mean()
            for dataset in ("clinc150", "sst2")
            for method in ("in_training_svd_int8", "none")
            for network in ("dan", "lstm")
        ),
    ),
]


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}: {claim.text[:40]}")
def test_a_page_agrees_with_the_rows(claim: Claim):
    stated = flat(claim.text.format(*claim.numbers()))
    page = flat((ROOT / claim.page).read_text(encoding="utf-8"))
    assert stated in page, f"{claim.page} does not say: {stated}"
