"""Cells, comparisons and rankings against numbers worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from ccompress.report import cells, rows
from ccompress.report.statistics import holm

Row = dict[str, Any]
Grid = Callable[..., list[Row]]
Read = Callable[[list[Row]], pd.DataFrame]


@pytest.fixture
def read(write: Callable[[list[Row]], Path]) -> Read:
    """Finished runs from synthetic rows."""
    return lambda stored: rows.read(write(stored)).done


def accuracies(stored: list[Row], table: dict[tuple[str, float], list[float]]) -> list[Row]:
    """The rows of the cells in `table`, with these accuracies by seed."""
    kept = [row for row in stored if (row["method"], row["rate"]) in table]
    for row in kept:
        row["test_accuracy"] = table[row["method"], row["rate"]][row["seed"]]
    return kept


def cell(table: pd.DataFrame, method: str, rate: float) -> pd.Series:
    return table[(table["method"] == method) & (table["rate"] == rate)].iloc[0]


def test_a_cell_is_the_mean_over_its_seeds(grid: Grid, read: Read) -> None:
    stored = accuracies(
        grid(),
        {
            ("none", 0.0): [80.0, 82.0, 84.0],
            ("in_training_svd", 0.9): [79.0, 82.0, 82.0],
            ("quantization", 0.5): [80.0, 81.0, 82.0],
        },
    )
    table = cells.cells(read(stored))
    found = cell(table, "in_training_svd", 0.9)
    assert found["accuracy"] == pytest.approx(81.0)
    assert found["drop"] == pytest.approx(1.0)
    half = stats.t.ppf(0.975, 2) / 3**0.5  # drops 1, 0, 2: standard deviation 1
    assert found["drop_high"] == pytest.approx(1 + half)
    assert (found["n"], found["drop_n"]) == (3, 3)
    assert found["overrides"].endswith("seed=0 vectors=file")
    # the sampling error is the reference's, in every cell: 82 % of 1,821 examples
    assert table["sampling_error"].tolist() == pytest.approx([0.9003] * len(table), abs=1e-4)


def test_cells_that_were_not_run_are_in_the_grid(grid: Grid, read: Read) -> None:
    stored = grid(["sst2", "trec"], ["dan", "lstm"])
    stored = [r for r in stored if (r["dataset"], r["network"]) != ("trec", "lstm")]
    stored = [r for r in stored if (r["method"], r["rate"]) != ("quantization", 0.9)]
    stored.remove(next(r for r in stored if r["method"] == "pre_training_svd"))
    done = read(stored)
    table = cells.cells(done)
    assert len(table) == 4 * (1 + 3 * 2)
    gone = table[table["n"] == 0]
    assert len(gone) == 3 + 7
    assert gone["accuracy"].isna().all()
    lacking = cells.missing(done)
    assert len(lacking) == 11
    part = lacking[lacking["seeds"].map(len) == 1].iloc[0]
    assert (part["data"], part["method"], part["seeds"]) == ("sst2", "pre_training_svd", [0])
    assert cells.missing(read(grid())).empty


def test_synthetic_data_come_last_and_methods_in_their_order(grid: Grid, read: Read) -> None:
    done = read(grid(["books", "trec"], methods=["own_method", "quantization", "in_training_svd"]))
    assert cells.panels(done)["data"].tolist() == ["trec", "books"]
    assert cells.methods(done) == ["in_training_svd", "quantization", "own_method"]


def test_comparisons_are_paired_and_corrected_within_a_rate(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2", "trec", "books"], ["dan", "lstm"], rates=[0.5, 0.9], seeds=range(5)))
    tests = cells.comparisons(done)
    assert len(tests) == 6 * 2 * 2  # panels, rates, other methods
    one = tests[(tests["data"] == "trec") & (tests["network"] == "lstm") & (tests["rate"] == 0.9)]
    one = one[one["other"] == "quantization"].iloc[0]
    here = done[(done["data"] == "trec") & (done["network"] == "lstm") & (done["rate"] == 0.9)]
    by_method = here.sort_values("seed").groupby("method")["test_accuracy"]
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
    table = cells.mean_comparisons(done).set_index("other")
    assert set(table["panels"]) == {4}
    by_seed = done.groupby(["method", "seed"])["test_accuracy"].mean()
    expected = stats.ttest_rel(by_seed["in_training_svd"], by_seed["quantization"])
    assert table.loc["quantization", "p"] == pytest.approx(expected.pvalue)
    between = expected.confidence_interval()
    found = table.loc["quantization", ["low", "high"]].tolist()
    assert found == pytest.approx([between.low, between.high])
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].to_numpy()).tolist())
    # a seed that one panel lacks is left out of the mean; a panel without a method as a whole
    lstm = (done["data"] == "sst2") & (done["network"] == "lstm")
    few = done[~(lstm & (done["seed"] == 4) & (done["method"] == "quantization"))]
    assert cells.mean_comparisons(few).set_index("other")["n"]["quantization"] == 4
    none = done[~(lstm & (done["method"] == "quantization"))]
    table = cells.mean_comparisons(none).set_index("other")
    assert table["panels"].to_dict() == {"quantization": 3, "pre_training_svd": 4}


def test_schedules_are_compared_in_the_mean_for_each_method(grid: Grid, read: Read) -> None:
    names = ["fixed", "clr", "calr"]
    stored = grid(["sst2", "trec"], rates=[0.9], methods=["in_training_svd"], schedules=names)
    gains = {"fixed": 0.0, "clr": 0.0, "calr": 1.0}
    for index, row in enumerate(stored):
        row["test_accuracy"] += gains[row["schedule"]] + 0.1 * (index**2 % 7)
    done = read(stored)
    table = cells.schedule_comparisons(done)
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
    tests = cells.comparisons(read(accuracies(grid(), table))).set_index("other")
    assert tests["verdict"].to_dict() == {
        "pre_training_svd": "better",
        "quantization": "not shown",
    }
    table["in_training_svd", 0.9] = [60.0, 60.1, 60.2]
    tests = cells.comparisons(read(accuracies(grid(), table))).set_index("other")
    assert tests.loc["pre_training_svd", "verdict"] == "worse"


def test_standings_count_places_and_ties(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [80.0],
        ("in_training_svd", 0.5): [79.0],
        ("pre_training_svd", 0.5): [79.0],
        ("quantization", 0.5): [78.0],
        ("in_training_svd", 0.9): [77.0],
        ("pre_training_svd", 0.9): [70.0],
        ("quantization", 0.95): [60.0],  # alone at this rate: no place
    }
    done = read(accuracies(grid(rates=[0.5, 0.9, 0.95], seeds=[0]), table))
    found = cells.standings(cells.cells(done)).set_index("method")
    assert found.loc["in_training_svd"].tolist() == [2, 0, 0, 2]
    assert found.loc["pre_training_svd"].tolist() == [1, 1, 1, 2]
    assert found.loc["quantization"].tolist() == [0, 0, 1, 1]


def test_the_best_other_method_is_chosen_in_each_panel(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2"], ["dan", "lstm"], seeds=[0]))
    swap = (done["network"] == "lstm") & (done["method"] == "pre_training_svd")
    done.loc[swap, "drop"] = 0.125
    best = cells.best_others(cells.cells(done), 0.9, "in_training_svd").set_index("network")
    assert best["method_other"].to_dict() == {"dan": "quantization", "lstm": "pre_training_svd"}
    assert best.loc["lstm", "drop_other"] == 0.125


def test_mean_drop_averages_panels_before_seeds(grid: Grid, read: Read) -> None:
    done = read(grid(["sst2", "trec"], seeds=[0, 1, 2]))
    lost = (done["data"] == "trec") & (done["seed"] == 2) & (done["rate"] == 0.9)
    done = done[~lost]
    chosen = [("sst2", "dan", "calr", "quantization"), ("trec", "dan", "calr", "quantization")]
    found = cells.mean_drop(done, 0.9, chosen)
    by_seed = done[(done["method"] == "quantization") & (done["rate"] == 0.9)].groupby("seed")
    assert found.n == 2  # seed 2 lacks a panel
    assert found.mean == pytest.approx(by_seed["drop"].mean().loc[[0, 1]].mean())


@pytest.mark.parametrize(
    ("within", "method", "rate"),
    [(0.3, "none", 0.0), (0.5, "quantization", 0.5), (1.0, "in_training_svd", 0.9)],
)
def test_the_smallest_model_within_so_many_points(
    grid: Grid, read: Read, within: float, method: str, rate: float
) -> None:
    table = {
        ("none", 0.0): [80.0],
        ("quantization", 0.5): [79.6],
        ("in_training_svd", 0.9): [79.0],  # exactly one point: still within
        ("pre_training_svd", 0.9): [78.9],
    }
    done = read(accuracies(grid(seeds=[0]), table))
    found = cells.smallest_within(cells.cells(done), within).iloc[0]
    assert (found["method"], found["rate"]) == (method, rate)


def test_rounding_decides_nothing(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [64.4],
        ("in_training_svd", 0.9): [63.4],  # 64.4 - 63.4 > 1 in binary floating point
        ("quantization", 0.9): [63.4 - 1e-14],
    }
    found = cells.cells(read(accuracies(grid(seeds=[0]), table)))
    assert cells.smallest_within(found, 1.0).iloc[0]["rate"] == 0.9
    assert cells.standings(found)["best"].tolist() == [1, 1]


def test_headline_rates(grid: Grid, read: Read) -> None:
    assert cells.headline_rates(read(grid(rates=[0.5, 0.9, 0.95]))) == [0.9, 0.95]
    assert cells.headline_rates(read(grid(rates=[0.5, 0.7]))) == [0.7]
