"""Comparisons, tests and rankings, compared with numbers that were computed by hand."""

import pytest
from made_up_rows import Grid, Read, accuracies
from scipy import stats

from ccompress.report import aggregation, comparisons
from ccompress.report.statistics import holm


def test_comparisons_are_paired_and_corrected_within_a_rate(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2", "trec", "books"], ["dan", "lstm"], rates=[0.5, 0.9], seeds=range(5)))
    tests = comparisons.comparisons(done)
    assert len(tests) == 6 * 2 * 2  # panels, rates, other methods
    one = tests[(tests["data"] == "trec") & (tests["network"] == "lstm") & (tests["rate"] == 0.9)]
    one = one[one["other"] == "quantization"].iloc[0]
    runs = done[(done["data"] == "trec") & (done["network"] == "lstm") & (done["rate"] == 0.9)]
    by_method = runs.sort_values("seed").groupby("method")["test_accuracy"]
    ours, theirs = by_method.get_group("in_training_svd"), by_method.get_group("quantization")
    expected = stats.ttest_rel(ours, theirs)
    assert one["t"] == pytest.approx(expected.statistic)
    assert one["p"] == pytest.approx(expected.pvalue)
    assert one["difference"] == pytest.approx(ours.mean() - theirs.mean())
    for _, family in tests.groupby("rate"):
        assert len(family) == 12
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p"].to_numpy()).tolist())


def test_the_mean_over_panels_is_tested_seed_by_seed(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2", "trec"], ["dan", "lstm"], rates=[0.9], seeds=range(5)))
    table = comparisons.mean_comparisons(done).set_index("other")
    assert set(table["panels"]) == {4}
    by_seed = done.groupby(["method", "seed"])["test_accuracy"].mean()
    expected = stats.ttest_rel(by_seed["in_training_svd"], by_seed["quantization"])
    assert table.loc["quantization", "p"] == pytest.approx(expected.pvalue)
    between = expected.confidence_interval()
    interval = table.loc["quantization", ["low", "high"]].tolist()
    assert interval == pytest.approx([between.low, between.high])
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].to_numpy()).tolist())
    # A seed that one panel lacks is left out of the mean, and so is a panel without the method.
    lstm = (done["data"] == "sst2") & (done["network"] == "lstm")
    few = done[~(lstm & (done["seed"] == 4) & (done["method"] == "quantization"))]
    assert comparisons.mean_comparisons(few).set_index("other")["n"]["quantization"] == 4
    none = done[~(lstm & (done["method"] == "quantization"))]
    table = comparisons.mean_comparisons(none).set_index("other")
    assert table["panels"].to_dict() == {"quantization": 3, "pre_training_svd": 4}


def test_the_mean_accuracies_of_schedules_are_compared_for_each_method(
    grid: Grid, read: Read
) -> None:
    names = ["fixed", "clr", "calr"]
    stored = grid(["sst2", "trec"], rates=[0.9], methods=["in_training_svd"], schedules=names)
    gains = {"fixed": 0.0, "clr": 0.0, "calr": 1.0}
    for index, row in enumerate(stored):
        row["test_accuracy"] += gains[row["schedule"]] + 0.1 * (index**2 % 7)
    done = read(stored)
    table = comparisons.schedule_comparisons(done)
    assert table["method"].tolist() == ["none"] * 2 + ["in_training_svd"] * 2
    assert table["other"].tolist() == ["clr", "fixed"] * 2
    assert set(table["panels"]) == {2}
    by_seed = done.groupby(["method", "schedule", "seed"])["test_accuracy"].mean()
    one = table[(table["method"] == "in_training_svd") & (table["other"] == "fixed")].iloc[0]
    ours, theirs = by_seed["in_training_svd", "calr"], by_seed["in_training_svd", "fixed"]
    assert one["difference"] == pytest.approx((ours - theirs).mean())
    assert one["p"] == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


def test_a_verdict_needs_significance(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [80.0, 80.0, 80.0],
        ("in_training_svd", 0.9): [80.0, 80.1, 80.2],
        ("pre_training_svd", 0.9): [70.0, 70.2, 70.3],
        ("quantization", 0.9): [79.0, 81.0, 80.0],
    }
    tests = comparisons.comparisons(read(accuracies(grid(), table))).set_index("other")
    assert tests["verdict"].to_dict() == {
        "pre_training_svd": "better",
        "quantization": "not shown",
    }
    table["in_training_svd", 0.9] = [60.0, 60.1, 60.2]
    tests = comparisons.comparisons(read(accuracies(grid(), table))).set_index("other")
    assert tests.loc["pre_training_svd", "verdict"] == "worse"


def test_standings_count_places_and_ties(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [80.0],
        ("in_training_svd", 0.5): [79.0],
        ("pre_training_svd", 0.5): [79.0],
        ("quantization", 0.5): [78.0],
        ("in_training_svd", 0.9): [77.0],
        ("pre_training_svd", 0.9): [70.0],
        ("quantization", 0.95): [60.0],  # a single method at a rate has no place
    }
    done = read(accuracies(grid(rates=[0.5, 0.9, 0.95], seeds=[0]), table))
    places = comparisons.standings(aggregation.summarize(done)).set_index("method")
    assert places.loc["in_training_svd"].tolist() == [2, 0, 0, 2]
    assert places.loc["pre_training_svd"].tolist() == [1, 1, 1, 2]
    assert places.loc["quantization"].tolist() == [0, 0, 1, 1]


def test_the_best_other_method_is_chosen_in_each_panel(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2"], ["dan", "lstm"], seeds=[0]))
    swap = (done["network"] == "lstm") & (done["method"] == "pre_training_svd")
    done.loc[swap, "drop"] = 0.125
    cells = aggregation.summarize(done)
    best = comparisons.best_others(cells, 0.9, "in_training_svd").set_index("network")
    assert best["method_other"].to_dict() == {"dan": "quantization", "lstm": "pre_training_svd"}
    assert best.loc["lstm", "drop_other"] == 0.125


def test_mean_drop_averages_panels_before_seeds(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2", "trec"], seeds=[0, 1, 2]))
    lost = (done["data"] == "trec") & (done["seed"] == 2) & (done["rate"] == 0.9)
    done = done[~lost]
    chosen = [("sst2", "dan", "calr", "quantization"), ("trec", "dan", "calr", "quantization")]
    drop = comparisons.mean_drop(done, 0.9, chosen)
    by_seed = done[(done["method"] == "quantization") & (done["rate"] == 0.9)].groupby("seed")
    assert drop.n == 2  # seed 2 lacks a panel
    assert drop.mean == pytest.approx(by_seed["drop"].mean().loc[[0, 1]].mean())


def test_headline_rates(grid: Grid, read: Read) -> None:
    assert comparisons.headline_rates(read(grid(rates=[0.5, 0.9, 0.95]))) == [0.9, 0.95]
    assert comparisons.headline_rates(read(grid(rates=[0.5, 0.7]))) == [0.7]
