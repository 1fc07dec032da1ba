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
MIN_SEEDS = 3  # with two seeds, t is 12.7 and an interval has almost no meaning


class Estimate(NamedTuple):
    """A mean over n seeds, and the ends of its interval (nan for fewer than three seeds)."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float] | Floats) -> Estimate:
    """Mean and 95 % t-interval of independent values, with n - 1 degrees of freedom (Student 1908).

    With fewer than `MIN_SEEDS` values there is no interval.
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
    """Two-sided paired t-test of the hypothesis that the mean of `differences` is zero.

    Returns:
        t and p. Both are nan in two cases: with fewer than `MIN_SEEDS` pairs, and if all pairs
        differ by the same amount. The latter happens with small test splits, whose accuracies move
        in steps; then there is no variance with which to compare the mean.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if len(sample) < MIN_SEEDS or np.ptp(sample) < 1e-9:
        return math.nan, math.nan
    result = stats.ttest_1samp(sample, 0.0)
    return float(result.statistic), float(result.pvalue)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Adjust p-values by Holm's step-down procedure (Holm 1979), in the given order.

    The i-th smallest of m p-values becomes the maximum over j <= i of min(1, (m - j + 1) p_j).
    Comparisons without a p-value (nan) stay nan and do not count in m.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def pareto_front(cost: Sequence[float] | Floats, gain: Sequence[float] | Floats) -> list[int]:
    """The positions of the points on the Pareto front, cheapest first.

    A point is on the front unless another point costs no more, gains no less, and is better in one
    of the two. Of equal points, the first is kept.
    """
    costs, gains = np.asarray(cost, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    front: list[int] = []
    for index in np.lexsort((-gains, costs)):
        if not front or gains[index] > gains[front[-1]]:
            front.append(int(index))
    return front


def equivalence(differences: Sequence[float] | Floats, margin: float) -> float:
    """The p-value of two one-sided t-tests for equivalence (Schuirmann 1987).

    A small value shows that the mean difference is between -margin and margin. The result is the
    larger p of the two tests, or nan if `paired_t_test` returns nan.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if math.isnan(paired_t_test(sample)[1]):
        return math.nan
    above = stats.ttest_1samp(sample, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(sample, margin, alternative="less").pvalue
    return float(max(above, below))


def heterogeneity(differences: Floats) -> tuple[float, float]:
    """Test whether cells differ from one another, by a one-way analysis of variance.

    A small p shows that cells differ, so that their common mean hides differences.

    Args:
        differences: The differences of each cell and seed (cells, seeds).

    Returns:
        F and p; (nan, nan) for fewer than two cells or two seeds, or without variance in cells.
    """
    cells, seeds = differences.shape
    if cells < 2 or seeds < 2 or np.ptp(differences, axis=1).max() < 1e-9:
        return math.nan, math.nan
    result = stats.f_oneway(*differences)
    return float(result.statistic), float(result.pvalue)


def detectable_effect(deviation: float, n: int, tests: int = 1, power: float = 0.8) -> float:
    """The smallest mean difference that a paired t-test of n pairs detects with the given power.

    Args:
        deviation: The standard deviation of the differences.
        n: The number of pairs.
        tests: The number of tests that share the level of 5 %, as in the first step of Holm's
            correction.
        power: The probability of detecting the difference.
    """
    if n < MIN_SEEDS:
        return math.nan
    level = ALPHA / tests
    critical = stats.t.ppf(1 - level / 2, n - 1)

    def lacking(effect: float) -> float:
        """The power at an effect (in standard errors), minus the required power.

        This ignores significant differences of the wrong sign, whose probability is below 0.1 %.
        """
        return float(stats.nct.sf(critical, n - 1, effect) - power)

    effect = optimize.brentq(lacking, 0.0, 3 * critical)
    return float(effect * deviation / math.sqrt(n))
