"""Statistics of the tables: t-intervals, paired tests, Holm's correction, Pareto fronts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
ALPHA = 0.05
MIN_SEEDS = 3  # of two seeds an interval says hardly anything: its t is 12.7


class Estimate(NamedTuple):
    """A mean over seeds, the ends of its interval (nan for fewer than three seeds), and n."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float] | Floats) -> Estimate:
    """Mean and 95 % t-interval of independent values, n - 1 degrees of freedom (Student 1908).

    Below `MIN_SEEDS` values there is no interval.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(sample.mean())
    if n < MIN_SEEDS:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * sample.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def paired_t_test(differences: Sequence[float] | Floats) -> tuple[float, float]:
    """Two-sided paired t-test that the mean of `differences` is zero: (t, p).

    Both are nan where there is no test: for fewer than `MIN_SEEDS` pairs, and for pairs that all
    differ by the same amount (no variance to measure the mean by; that happens where a test split
    is small and accuracies move in steps). Nothing is shown then.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if len(sample) < MIN_SEEDS or np.ptp(sample) < 1e-9:
        return math.nan, math.nan
    result = stats.ttest_1samp(sample, 0.0)
    return float(result.statistic), float(result.pvalue)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """p-values adjusted by Holm's step-down procedure (Holm 1979), in the order given.

    The i-th smallest of m becomes max over j <= i of min(1, (m - j + 1) p_j). Comparisons without
    a p-value (nan) stay nan and are not counted in m.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def pareto_front(cost: Sequence[float] | Floats, gain: Sequence[float] | Floats) -> list[int]:
    """Positions of the points that no other beats, cheapest first.

    A point is beaten by one that costs no more and gains no less, and is better in one of the two.
    Of equal points the first is kept.
    """
    costs, gains = np.asarray(cost, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    front: list[int] = []
    for index in np.lexsort((-gains, costs)):
        if not front or gains[index] > gains[front[-1]]:
            front.append(int(index))
    return front


def equivalence(differences: Sequence[float] | Floats, margin: float) -> float:
    """The p-value of two one-sided t-tests for equivalence (Schuirmann 1987).

    Where it is small, the mean difference is shown to lie between -margin and margin. It is the
    larger p of the two tests, and nan where `paired_t_test` gives none.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if math.isnan(paired_t_test(sample)[1]):
        return math.nan
    above = stats.ttest_1samp(sample, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(sample, margin, alternative="less").pvalue
    return float(max(above, below))


def heterogeneity(differences: Floats) -> tuple[float, float]:
    """Whether cells differ from one another: F and p of a one-way analysis of variance.

    Args:
        differences: Of shape (cells, seeds). With small p, their mean hides cells that differ.

    Returns:
        (nan, nan) for fewer than two cells or two seeds, and without any variance within cells.
    """
    cells, seeds = differences.shape
    if cells < 2 or seeds < 2 or np.ptp(differences, axis=1).max() < 1e-9:
        return math.nan, math.nan
    result = stats.f_oneway(*differences)
    return float(result.statistic), float(result.pvalue)


def detectable_effect(deviation: float, n: int, tests: int = 1, power: float = 0.8) -> float:
    """The smallest mean difference that a paired t-test of n pairs finds with this power.

    Args:
        deviation: Standard deviation of the differences.
        n: Number of pairs.
        tests: How many tests share the level of 5 %, as the first step of Holm's correction does.
        power: Probability of finding it.
    """
    if n < MIN_SEEDS:
        return math.nan
    level = ALPHA / tests
    critical = stats.t.ppf(1 - level / 2, n - 1)

    def lacking(effect: float) -> float:
        """Power at an effect in standard errors, less what is asked for.

        Left out is the chance of a significant difference of the wrong sign, below 0.1 % here.
        """
        return float(stats.nct.sf(critical, n - 1, effect) - power)

    effect = optimize.brentq(lacking, 0.0, 3 * critical)
    return float(effect * deviation / math.sqrt(n))
