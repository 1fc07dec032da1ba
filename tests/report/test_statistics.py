"""The statistics agree with closed forms, scipy, and brute force."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ccompress.experiment.results import accuracy_interval, sampling, sampling_error
from ccompress.report.statistics import (
    detectable_effect,
    equivalence,
    heterogeneity,
    holm,
    paired_t_test,
    pareto_front,
    t_interval,
)

accuracies = st.lists(st.floats(0, 100), min_size=3, max_size=8)


def test_t_interval_closed_form() -> None:
    # mean 2, standard deviation 1, t(0.975, 2 degrees) = 4.302653
    estimate = t_interval([1.0, 2.0, 3.0])
    assert estimate.n == 3
    assert estimate.mean == pytest.approx(2.0)
    assert estimate.high - estimate.mean == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert estimate.mean - estimate.low == pytest.approx(estimate.high - estimate.mean)


def test_an_interval_needs_three_seeds() -> None:
    for few in ([81.5], [81.0, 82.0]):
        one = t_interval(few)
        assert (one.mean, one.n) == (81.5, len(few))
        assert math.isnan(one.low)
        assert math.isnan(one.high)
    assert t_interval([]).n == 0
    assert math.isnan(t_interval([]).mean)


@given(accuracies)
def test_paired_t_test_is_scipys(sample: list[float]) -> None:
    first, second = np.array(sample), np.linspace(0, 1, len(sample))
    t, p = paired_t_test(first - second)
    if np.ptp(first - second) < 1e-9:
        assert math.isnan(t)
    else:
        expected = stats.ttest_rel(first, second)
        assert t == pytest.approx(expected.statistic)
        assert p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("differences", [[], [0.4], [0.3, 0.5], [0.0, 0.0, 0.0], [0.2, 0.2, 0.2]])
def test_no_test_without_variance(differences: list[float]) -> None:
    assert all(math.isnan(number) for number in paired_t_test(differences))


def test_holm_worked_example() -> None:
    # .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04, and the last one is raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_ignores_missing_tests() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_as_the_step_down_procedure(p_values: list[float]) -> None:
    rejected = set()
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - step) >= 0.05:
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(holm(p_values) < 0.05)) == rejected


def test_sampling_error_closed_form() -> None:
    error = sampling_error(pd.Series([90.0, 100.0]), pd.Series([900, 500]))
    assert error.tolist() == pytest.approx([1.0, math.nan], nan_ok=True)


def test_an_accuracy_of_100_percent_has_an_interval() -> None:
    """By Wilson, the lower end is n / (n + z^2)."""
    assert accuracy_interval(100.0, 40) == pytest.approx((4000 / (40 + 1.959964**2), 100.0))
    assert accuracy_interval(0.0, 40) == pytest.approx((0.0, 100 - 4000 / (40 + 1.959964**2)))
    low, high = accuracy_interval(90.0, 900)
    assert (low, high) == pytest.approx((87.87, 91.80), abs=0.01)
    assert sampling(90.0, 900) == "1.00"
    assert sampling(100.0, 40) == "[91.24, 100.00]"


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=15))
def test_pareto_front_by_brute_force(points: list[tuple[int, int]]) -> None:
    cost, gain = zip(*points, strict=True)
    front = [points[i] for i in pareto_front(cost, gain)]
    unbeaten = {
        point
        for point in points
        if not any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )
    }
    assert front == sorted(unbeaten)


@given(accuracies, st.floats(0.1, 3))
def test_two_are_equivalent_if_the_90_percent_interval_is_within_the_margin(values, margin):
    p = equivalence(values, margin)
    if math.isnan(p):
        assert math.isnan(paired_t_test(values)[1])
        return
    mean, n = np.mean(values), len(values)
    half = stats.t.ppf(0.95, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    furthest = max(abs(mean - half), abs(mean + half))
    if abs(furthest - margin) > 1e-6:
        assert (p < 0.05) == (furthest < margin)


def test_heterogeneity_worked_example():
    # Cells 1 2 3 and 3 4 5: the sums of squares are 6 between (1 degree of freedom) and 4 within
    # (4 degrees), so that F = 6 / 1.
    ratio, p = heterogeneity(np.array([[1.0, 2, 3], [3, 4, 5]]))
    assert ratio == pytest.approx(6)
    assert p == pytest.approx(stats.f.sf(6, 1, 4))
    assert all(map(math.isnan, heterogeneity(np.ones((2, 3)))))
    assert all(map(math.isnan, heterogeneity(np.ones((1, 3)))))


@pytest.mark.parametrize(("n", "tests"), [(5, 1), (5, 4), (10, 1)])
def test_a_detectable_effect_is_found_four_times_in_five(n, tests):
    effect = detectable_effect(1.5, n, tests)
    samples = np.random.default_rng(0).normal(effect, 1.5, (20_000, n))
    detected = stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05 / tests
    assert detected.mean() == pytest.approx(0.8, abs=0.015)


def test_no_effect_is_detectable_with_two_seeds():
    assert math.isnan(detectable_effect(1.0, 2))
