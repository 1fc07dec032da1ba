"""Cells and their tables, compared with numbers that were computed by hand."""

import pandas as pd
import pytest
from made_up_rows import Grid, Read, Write, accuracies
from scipy import stats

from ccompress.experiment import results
from ccompress.report import aggregation, comparisons, costs, stored_runs, summary, tables


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
    table = aggregation.summarize(read(stored))
    row = cell(table, "in_training_svd", 0.9)
    assert row["accuracy"] == pytest.approx(81.0)
    assert row["drop"] == pytest.approx(1.0)
    half = stats.t.ppf(0.975, 2) / 3**0.5  # drops 1, 0, 2: standard deviation 1
    assert row["drop_high"] == pytest.approx(1 + half)
    assert (row["n"], row["drop_n"]) == (3, 3)
    assert row["overrides"].endswith("seed=0 vectors=file")
    # the sampling error is the reference's, in every cell: 82 % of 1,821 examples
    assert table["sampling_error"].tolist() == pytest.approx([0.9003] * len(table), abs=1e-4)


def test_only_combinations_with_runs_are_cells(grid: Grid, read: Read) -> None:
    stored = grid(["sst2", "trec"], ["dan", "lstm"])
    stored = [r for r in stored if (r["dataset"], r["network"]) != ("trec", "lstm")]
    stored = [r for r in stored if (r["method"], r["rate"]) != ("quantization", 0.9)]
    done = read(stored)
    assert len(aggregation.panels(done)) == 3
    table = aggregation.summarize(done)
    assert len(table) == 3 * 6
    assert (table["n"] == 3).all()
    first = table.iloc[:6]
    assert first["method"].tolist() == ["none", *aggregation.methods(done), *first["method"][4:]]
    assert first["rate"].tolist() == [0.0, 0.5, 0.5, 0.5, 0.9, 0.9]


def test_an_accuracy_is_at_most_100_percent(grid: Grid, read: Read) -> None:
    table = aggregation.summarize(read(accuracies(grid(), {("none", 0.0): [99.0, 100.0, 100.0]})))
    assert table["accuracy_high"].tolist() == [100.0]
    assert table["accuracy_low"].item() == pytest.approx(99.6667 - 4.302653 / 3, abs=1e-3)


def test_a_seed_is_missing_if_most_cells_have_it(grid: Grid, read: Read) -> None:
    stored = grid()
    assert aggregation.incomplete(read(stored)).empty
    lost = next(r for r in stored if r["method"] == "pre_training_svd" and r["seed"] == 1)
    lacking = aggregation.incomplete(read([r for r in stored if r is not lost]))
    assert lacking[["method", "rate", "seeds"]].to_numpy().tolist() == [
        ["pre_training_svd", 0.5, [1]]
    ]
    # If one cell has more seeds, the others lack none.
    one = [r for r in stored if r["seed"] == 0 or (r["method"], r["rate"]) == ("quantization", 0.9)]
    assert aggregation.incomplete(read(one)).empty


def test_measurements_on_two_devices_are_never_averaged(grid: Grid, read: Read) -> None:
    stored = [r for r in grid(rates=[0.9]) if r["method"] in ("none", "quantization")]
    for row in stored:
        gpu = row["seed"] == 2
        row["device"] = "cuda NVIDIA H100" if gpu else "cpu AMD EPYC"
        row["latency_ms"], row["train_seconds"] = (1.0, 2.0) if gpu else (10.0, 40.0)
        row["peak_memory_bytes"] = 1e6 if gpu else 5e8
    done = read(stored)
    measured = aggregation.measure(done)
    columns = ["method", "device", "latency", "latency_n", "train_seconds", "peak_memory_bytes"]
    assert measured[columns].to_numpy().tolist() == [
        ["none", "cpu AMD EPYC", 10.0, 2, 40.0, 5e8],
        ["none", "cuda NVIDIA H100", 1.0, 1, 2.0, 1e6],
        ["quantization", "cpu AMD EPYC", 10.0, 2, 40.0, 5e8],
        ["quantization", "cuda NVIDIA H100", 1.0, 1, 2.0, 1e6],
    ]
    cells = aggregation.summarize(done)
    assert cells["n"].tolist() == [3, 3]  # for the accuracy, all seeds count
    table = costs.costs(cells, measured)
    shown = table.shown["sst2, dan"]
    assert shown["device"].tolist() == ["cpu AMD EPYC", "cuda NVIDIA H100"] * 2
    assert shown["peak memory (MB)"].tolist() == ["500 resident", "1 on the GPU"] * 2
    assert (
        "device"
        not in costs.costs(
            *(f(done[done["seed"] < 2]) for f in (aggregation.summarize, aggregation.measure))
        ).shown["sst2, dan"]
    )


def test_synthetic_data_come_last_and_methods_in_their_order(grid: Grid, read: Read) -> None:
    done = read(grid(["books", "trec"], methods=["own_method", "quantization", "in_training_svd"]))
    assert aggregation.panels(done)["data"].tolist() == ["trec", "books"]
    assert aggregation.methods(done) == ["in_training_svd", "quantization", "own_method"]


@pytest.mark.parametrize(
    ("within", "method", "rate"),
    [(0.3, "none", 0.0), (0.5, "quantization", 0.5), (1.0, "in_training_svd", 0.9)],
)
def test_the_smallest_model_within_a_number_of_points_is_chosen(
    grid: Grid, read: Read, within: float, method: str, rate: float
) -> None:
    table = {
        ("none", 0.0): [80.0],
        ("quantization", 0.5): [79.6],
        ("in_training_svd", 0.9): [79.0],  # exactly one point is still within
        ("pre_training_svd", 0.9): [78.9],
    }
    done = read(accuracies(grid(seeds=[0]), table))
    smallest = aggregation.smallest_within(aggregation.summarize(done), within).iloc[0]
    assert (smallest["method"], smallest["rate"]) == (method, rate)


def test_the_smallest_model_is_that_with_the_fewest_deployed_bytes(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [80.0],
        ("in_training_svd", 0.9): [80.0],
        ("pre_training_svd", 0.9): [80.0],
    }
    done = read(accuracies(grid(seeds=[0]), table))
    cells = aggregation.summarize(done)
    factors, narrow = (cell(cells, name, 0.9) for name in ("in_training_svd", "pre_training_svd"))
    # In training, B makes the network with factors the larger one. Folded, it is the smaller one.
    assert factors["model_bytes"] > narrow["model_bytes"]
    assert factors["folded_bytes"] < narrow["folded_bytes"]
    (smallest,) = aggregation.smallest_within(cells, 1.0).itertuples()
    assert smallest.method == "in_training_svd"
    reduction = 1 - factors["folded_bytes"] / factors["model_bytes_original"]
    assert smallest.folded_reduction == pytest.approx(reduction)
    shown = tables.smallest(cells, 1.0).shown[""].iloc[0]
    assert shown["whole network"] == results.size(factors["folded_bytes"])
    assert shown["removed (of the network)"] == tables.percent(reduction)


def test_a_size_that_was_not_recorded_shows_as_missing_with_a_reason(
    grid: Grid, write: Write
) -> None:
    stored = grid(rates=[0.9], seeds=[0])
    for row in stored:
        if row["method"] != "none":
            row["folded_bytes"] = None
    runs = stored_runs.read(write(stored))
    cells = aggregation.summarize(runs.done)
    table = tables.smallest(cells, 100.0)
    assert table.shown[""]["method"].tolist() == ["none"]  # the only one with a known size
    reason = "an earlier version did not record the size of the network as it is deployed"
    assert f"Left out: 3 of 4 cells, as {reason}" in table.note
    (sentence,) = (s for s in summary.what_was_run(runs, [], False) if reason in s)
    assert sentence.startswith("Without a size: 3 runs, as")
    costly = costs.costs(cells, aggregation.measure(runs.done)).shown["sst2, dan"].iloc[1:]
    assert set(costly[["tensors", "removed (of the network)"]].to_numpy().flat) == {tables.NOTHING}
    dropped = tables.drops(cells).shown
    (line,) = (block.iloc[0] for block in dropped.values())
    assert line["quantization: of the table, of the network"] == f"90.6 %, {tables.NOTHING}"


def test_a_model_file_of_an_earlier_version_is_not_shown(grid: Grid, read: Read) -> None:
    """It was not folded. The rows of that version did not record the parts of a file."""
    shown = []
    for part in (None, 400):
        stored = [row | {"file_bytes": 5000, "file_table_bytes": part} for row in grid(seeds=[0])]
        done = read(stored)
        table = costs.costs(aggregation.summarize(done), aggregation.measure(done))
        shown.append(set(table.shown["sst2, dan"].get("file", [])))
    assert shown == [set(), {"5 kB"}]


def test_a_file_of_an_earlier_version_has_no_column_of_folded_bytes(
    grid: Grid, write: Write
) -> None:
    path = write(grid(seeds=[0]))
    frame = pd.read_csv(path).drop(columns="folded_bytes")
    frame.to_csv(path, index=False)
    done = stored_runs.read(path).done
    assert done["folded_bytes"].isna().all()
    cells = aggregation.summarize(done)
    assert aggregation.smallest_within(cells, 1.0).empty
    shown = tables.smallest(cells, 1.0).shown[""]
    assert shown[["method", "whole network"]].to_numpy().tolist() == [2 * [tables.NOTHING]]


def test_rounding_errors_decide_nothing(grid: Grid, read: Read) -> None:
    table = {
        ("none", 0.0): [64.4],
        ("in_training_svd", 0.9): [63.4],  # 64.4 - 63.4 > 1 in binary floating point
        ("quantization", 0.9): [63.4 - 1e-14],
    }
    cells = aggregation.summarize(read(accuracies(grid(seeds=[0]), table)))
    assert aggregation.smallest_within(cells, 1.0).iloc[0]["rate"] == 0.9
    assert comparisons.standings(cells)["best"].tolist() == [1, 1]


def test_the_share_of_tokens_with_a_vector_is_shown_if_it_was_counted(
    grid: Grid, read: Read
) -> None:
    stored = [row | {"vectors": "glove.6B.100d.subset"} for row in grid()]
    done = read(stored)
    table = tables.data(done, aggregation.summarize(done))
    assert "tokens" not in table.shown[""]
    assert "tokens_with_vector" not in table.numbers
    assert set(table.shown[""]["vectors"]) == {"a subset of glove.6B.100d"}
    done = read([row | {"tokens_with_vector": 0.9236} for row in stored])
    table = tables.data(done, aggregation.summarize(done))
    assert set(table.shown[""]["tokens"]) == {"92.4 %"}
