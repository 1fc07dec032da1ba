"""How stored runs are read: which belong together, which are separate, and which are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ccompress.errors import InputError
from ccompress.experiment import results
from ccompress.report import stored_runs

Row = dict[str, Any]
Grid = Callable[..., list[Row]]
Write = Callable[[list[Row]], Path]


def test_run_folders_and_runs_csv_give_the_same_table(
    grid: Grid, write: Write, tmp_path: Path
) -> None:
    stored = grid(["sst2", "books"], ["dan", "lstm"])
    for row in stored:
        results.write_result(tmp_path / "runs" / row["run_id"], row)
    from_csv, from_folders = stored_runs.read(write(stored)), stored_runs.read(tmp_path / "runs")
    by_id = [runs.done.set_index("run_id").sort_index() for runs in (from_csv, from_folders)]
    columns = ["data", "network", "method", "rate", "seed", "test_accuracy", "drop", "vectors"]
    pd.testing.assert_frame_equal(by_id[0][columns], by_id[1][columns])
    assert len(from_csv.done) == len(stored)


def test_drop_is_paired_by_panel_and_seed(grid: Grid, write: Write) -> None:
    stored = grid(["sst2", "trec"], ["dan", "lstm"])
    lone = next(r for r in stored if r["method"] == "none" and r["seed"] == 1)
    stored.remove(lone)
    done = stored_runs.read(write(stored)).done
    reference = {
        (r["dataset"], r["network"], r["seed"]): r["test_accuracy"]
        for r in stored
        if r["method"] == "none"
    }
    for row in done.itertuples():
        expected = reference.get((row.dataset, row.network, row.seed), np.nan)
        assert row.drop == pytest.approx(expected - row.test_accuracy, nan_ok=True)
    assert done["drop"].isna().sum() == 6  # 3 methods x 2 rates have lost their reference


def test_failed_runs_are_separate(grid: Grid, write: Write) -> None:
    stored = grid()
    stored[-1] |= {"status": "failed", "error": "Diverged: step 7", "test_accuracy": None}
    runs = stored_runs.read(write(stored))
    assert len(runs.done) == len(stored) - 1
    assert runs.failed["error"].tolist() == ["Diverged: step 7"]


def test_protocols_never_mix(grid: Grid, write: Write) -> None:
    stored = grid()
    stored[0]["protocol"] = 2
    with pytest.raises(InputError, match=r"mixes protocol numbers 1 \(20 runs\), 2 \(1 runs\)"):
        stored_runs.read(write(stored))


def changed(stored: list[Row], **changes: Any) -> list[Row]:
    """The rows of other runs, with new ids and some changes."""
    return [row | {"run_id": row["run_id"] + "x"} | changes for row in stored]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"vectors": "glove.6B.100d.subset"}, "sst2, vectors=glove.6B.100d.subset"),
        ({"vectors_sha256": "77" * 32}, "sst2, contents=77777777"),
        ({"dim": 100}, "sst2, dim=100"),
        ({"vocab_policy": "train+vectors"}, "sst2, vocab=train+vectors"),
    ],
)
def test_other_vectors_are_another_panel(
    grid: Grid, write: Write, changes: Row, label: str
) -> None:
    stored = grid()
    done = stored_runs.read(write(stored + changed(stored, **changes))).done
    assert label in set(done["data"])
    assert done["data"].value_counts().tolist() == [len(stored), len(stored)]


def with_option(stored: list[Row], option: str) -> list[Row]:
    """The rows of other runs, with one more option on their command lines."""
    return [
        row | {"run_id": row["run_id"] + option, "overrides": f"{row['overrides']} {option}"}
        for row in stored
    ]


@pytest.mark.parametrize(
    ("option", "column", "label"),
    [
        ("train.epochs=5", "data", "sst2, train.epochs=5"),
        ("dataset.phrases=true", "data", "sst2, phrases=true"),
        ("network.hidden=50", "network", "dan, hidden=50"),
        ("schedule.decay=0.90", "schedule", "calr, decay=0.9"),
        ("+extra=1", "data", "sst2, extra=1"),
        ("vectors.window=9", "data", "sst2, vectors.window=9"),
    ],
)
def test_an_option_that_differs_makes_another_panel(
    grid: Grid, write: Write, option: str, column: str, label: str
) -> None:
    stored = grid()
    runs = stored_runs.read(write(stored + with_option(stored, option)))
    assert runs.done.groupby(stored_runs.PANEL).size().tolist() == [len(stored), len(stored)]
    # Both panels show the option, so that a reader sees the difference.
    assert set(runs.done[column]) == {label.partition("=")[0] + "=default", label}
    assert list(runs.labels.differing) == [option.partition("=")[0].lstrip("+")]


def test_an_option_that_one_run_shows_is_shown_for_all_runs_that_have_it(
    grid: Grid, write: Write
) -> None:
    stored = grid(["sst2", "trec"], ["dan", "lstm"], seeds=[0])
    varied = [r for r in stored if (r["dataset"], r["network"]) == ("sst2", "dan")]
    done = stored_runs.read(write(stored + with_option(varied, "network.hidden=50"))).done
    assert set(done.loc[done["data"] == "trec", "network"]) == {"dan, hidden=default", "lstm"}
    assert set(done["network"]) == {"dan, hidden=default", "dan, hidden=50", "lstm"}


def test_the_value_of_a_default_is_read_from_the_configuration_of_the_run(
    grid: Grid, tmp_path: Path
) -> None:
    stored = grid(methods=["in_training_svd"], rates=[0.9], seeds=[0])
    runs = tmp_path / "results" / "runs"
    for row in [*stored, *with_option(stored, "network.hidden=50")]:
        row["run_id"] = row["run_id"].replace("=", "-")
        results.write_result(runs / row["run_id"], row)
        hidden = 50 if "hidden" in row["overrides"] else 300
        text = f"network:\n  hidden: {hidden}\nmethod:\n  compress_at: 0.5\n"
        (runs / row["run_id"] / "config.yaml").write_text(text, encoding="utf-8")
    # An explicit 300 and the default of 300 are the same setting.
    given = stored[1] | {"run_id": "given", "seed": 1}
    given["overrides"] += " network.hidden=300"
    results.write_result(runs / "given", given)
    expected = {"dan, hidden=300", "dan, hidden=50"}
    assert set(stored_runs.read(runs).done["network"]) == expected
    # The folders of the runs are beside the folder of the experiment.
    rows = [json.loads(path.read_text()) for path in runs.glob("*/result.json")]
    results.write_runs(tmp_path / "results" / "mine" / "runs.csv", rows)
    assert set(stored_runs.read(tmp_path / "results/mine/runs.csv").done["network"]) == expected


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["dataset=sst2"], {("sst2", "dan"), ("sst2", "lstm")}),
        (["network=lstm", "dataset=sst2,trec"], {("sst2", "lstm"), ("trec", "lstm")}),
        (["method=quantization", "rate=0.90", "network=dan"], {("sst2", "dan"), ("trec", "dan")}),
    ],
)
def test_filters_choose_runs_and_keep_the_reference(
    grid: Grid, write: Write, words: list[str], kept: set[tuple[str, str]]
) -> None:
    path = write(grid(["sst2", "trec"], ["dan", "lstm"]))
    done = stored_runs.read(path, words).done
    assert set(zip(done["dataset"], done["network"], strict=True)) == kept
    assert done["drop"].notna().all()
    if "method=quantization" in words:
        assert set(zip(done["method"], done["rate"], strict=True)) == {
            ("none", 0.0),
            ("quantization", 0.9),
        }


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sst2", "'sst2' is not a filter: give KEY=VALUE"),
        ("datset=sst2", r"no run has a key datset \(did you mean dataset\?\)"),
        ("dataset=imdb", "no run has dataset=imdb: dataset is sst2"),
        ("network.hidden=50", "no run has a key network.hidden"),
    ],
)
def test_the_error_of_a_filter_without_runs_names_the_existing_values(
    grid: Grid, write: Write, word: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        stored_runs.read(write(grid()), [word])


def test_refused_input_does_not_count_as_a_failed_run(grid: Grid, write: Write) -> None:
    stored = grid()
    stored[-1] |= {"status": "failed", "error": "InputError: rate=0.99 leaves no bit of 32"}
    stored[-2] |= {"status": "failed", "error": "OutOfMemoryError: too large"}
    runs = stored_runs.read(write(stored))
    assert runs.refused == 1
    assert runs.failed["error"].tolist() == ["OutOfMemoryError: too large"]


def test_a_methods_option_makes_another_method(grid: Grid, write: Write) -> None:
    stored = grid()
    others = [row for row in stored if row["method"] == "in_training_svd"]
    done = stored_runs.read(write(stored + with_option(others, "method.compress_at=0.75"))).done
    assert done["data"].unique().tolist() == ["sst2"]
    added = done[done["method"] == "in_training_svd, compress_at=0.75"]
    assert len(added) == len(others)
    assert (done["method"] == "in_training_svd, compress_at=default").sum() == len(others)
    assert added["drop"].notna().all()


def test_options_chosen_per_network_or_schedule_extend_nothing(grid: Grid, write: Write) -> None:
    stored = grid(networks=["dan", "lstm"], schedules=["clr", "calr"])
    for row in stored:
        upper = 0.001 if row["network"] == "dan" else 0.002
        row["overrides"] += f" train.upper.{row['schedule']}={upper} +experiment=any"
    done = stored_runs.read(write(stored)).done
    assert set(done["data"]) == {"sst2"}
    assert set(done["schedule"]) == {"clr", "calr"}


def test_two_runs_with_the_same_settings_are_refused(grid: Grid, write: Write) -> None:
    stored = grid()
    twin = stored[-1] | {"run_id": "twin"}
    with pytest.raises(InputError, match=f"{stored[-1]['run_id']} and twin are both sst2, dan"):
        stored_runs.read(write([*stored, twin]))


def test_bad_tables_give_an_error_of_one_line(grid: Grid, write: Write, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    for contents, complaint in [
        ("", "is not a table of runs"),
        ("run_id,method\na,none\n", "lacks the columns status, overrides"),
        ('run_id\n"unclosed\n', "is not a table of runs"),
    ]:
        path.write_text(contents, encoding="utf-8")
        with pytest.raises(InputError, match=complaint) as caught:
            stored_runs.read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="column rate does not hold numbers only"):
        stored_runs.read(write([*grid(), grid()[0] | {"rate": "much"}]))
    with pytest.raises(InputError, match="marked done but lacks a number"):
        stored_runs.read(write([grid()[0] | {"test_accuracy": None}]))
    failed = {"status": "failed", "error": "InputError: rate=0.99 leaves no bit of 32"}
    said = r"holds no finished run \(0 failed, 1 refused as input\): .* leaves no bit of 32"
    with pytest.raises(InputError, match=said):
        stored_runs.read(write([grid()[0] | failed]))


def test_a_truncated_result_is_named(grid: Grid, tmp_path: Path) -> None:
    for row in grid():
        results.write_result(tmp_path / row["run_id"], row)
    damaged = tmp_path / grid()[0]["run_id"] / results.RESULT
    damaged.write_text(damaged.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(InputError, match=f"{damaged} is damaged"):
        stored_runs.read(tmp_path)
    with pytest.raises(InputError, match="holds no runs"):
        stored_runs.read(tmp_path / "nothing")
