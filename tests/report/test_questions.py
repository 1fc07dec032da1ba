"""The questions that runs answer, and the tables with the answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_rows import Grid

from ccompress.report import answers, stored_runs
from ccompress.report.questions import compared, questions

Row = dict[str, Any]
Write = Callable[[list[Row]], Path]


def varied(stored: list[Row], option: str) -> list[Row]:
    """The rows as other runs, with one more option on their command lines."""
    return [
        row | {"run_id": row["run_id"] + option, "overrides": f"{row['overrides']} {option}"}
        for row in stored
    ]


def only(stored: list[Row], method: str, rate: float) -> list[Row]:
    return [row for row in stored if (row["method"], row["rate"]) == (method, rate)]


def test_a_grid_of_methods_and_rates_has_no_other_question(grid: Grid, write: Write) -> None:
    runs = stored_runs.read(write(grid(["sst2", "trec"], ["dan", "lstm"])))
    assert questions(runs) == []
    main = compared(runs, [])
    assert len(main.runs) == len(runs.done)
    assert main.held == {}


def test_the_question_of_an_option_has_runs_that_differ_only_in_it(
    grid: Grid, write: Write
) -> None:
    stored = grid(["sst2", "trec"], ["dan"], seeds=[0])
    one = [r for r in only(stored, "in_training_svd", 0.9) if r["dataset"] == "sst2"]
    both = varied(varied(one, "network.hidden=50"), "train.batch_size=8")
    runs = stored_runs.read(write([*stored, *varied(one, "network.hidden=50"), *both]))
    answered = questions(runs)
    assert [question.option for question in answered] == ["network.hidden", "train.batch_size"]
    for question in answered:
        assert set(question.runs["data"].str.partition(",")[0]) == {"sst2"}
        assert set(question.runs["method"]) == {"in_training_svd"}
    # hidden=50 with batch_size=8 has no counterpart with the default hidden size.
    hidden, batch = (question.runs for question in answered)
    assert hidden["value"].tolist() == ["default", "50"]
    assert hidden["network"].unique().tolist() == ["dan"]
    assert hidden["data"].unique().tolist() == ["sst2, train.batch_size=default"]
    assert batch["value"].tolist() == ["default", "8"]
    assert batch["network"].unique().tolist() == ["dan, hidden=50"]
    main = compared(runs, answered)
    assert len(main.runs) == len(stored)
    assert main.held == {"network.hidden": "default", "train.batch_size": "default"}
    assert set(main.runs["network"]) == {"dan"}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"vectors": "random.300d"}, ["vectors"]),
        ({"vocab_policy": "train+vectors"}, ["vocab"]),
        ({"schedule": "clr"}, ["schedule"]),
    ],
)
@pytest.mark.parametrize(
    "too",
    [
        "train.epochs=40",
        "train.batch_size=8",
        "network.hidden=50",
        "method.compress_at=0.2",
        {"epochs": 40},
    ],
)
def test_a_question_compares_no_runs_that_differ_in_anything_else(
    grid: Grid, write: Write, other: Row, named: list[str], too: str | Row
) -> None:
    one = only(grid(seeds=[0]), "in_training_svd", 0.9)
    alone = [row | other | {"run_id": "other"} for row in one]
    asked = questions(stored_runs.read(write(one + alone)))
    assert [question.option for question in asked] == named
    both = varied(alone, too) if isinstance(too, str) else [row | too for row in alone]
    runs = stored_runs.read(write(one + both))
    assert questions(runs) == []
    # All that differs is in their names.
    names = runs.done[["data", "network", "method", "schedule"]].agg("; ".join, axis=1)
    key = too.partition("=")[0].rpartition(".")[2] if isinstance(too, str) else "epochs"
    assert all(f"{key}=" in name for name in names)


def test_the_learning_rate_of_each_schedule_does_not_hide_what_schedules_change(
    grid: Grid, write: Write
) -> None:
    stored = grid(methods=["quantization"], rates=[0.9], schedules=["fixed", "calr"])
    for row in stored:
        row["overrides"] += f" train.upper.{row['schedule']}=0.001"
    (question,) = questions(stored_runs.read(write(stored)))
    assert question.option == "schedule"


def test_a_rounded_rest_belongs_to_the_method_and_has_the_reference(
    grid: Grid, write: Write
) -> None:
    stored = grid(rates=[0.9])
    rounded = varied(only(stored, "in_training_svd", 0.9), "rest=int8")
    done = stored_runs.read(write([*stored, *rounded])).done
    assert done["drop"].notna().all()
    assert {"none", "in_training_svd, rest=float32", "in_training_svd, rest=int8"} < {
        *done["method"]
    }


def test_variants_with_runs_at_all_rates_belong_to_the_main_question(
    grid: Grid, write: Write
) -> None:
    stored = grid()
    every = [row for row in stored if row["method"] == "in_training_svd"]
    runs = stored_runs.read(write([*stored, *varied(every, "method.compress_at=0.25")]))
    answered = questions(runs)
    assert [question.option for question in answered] == ["method.compress_at"]
    main = compared(runs, answered)
    assert set(main.runs["method"]) >= {
        "in_training_svd, compress_at=0.25",
        "in_training_svd, compress_at=default",
    }
    once = [row for row in every if row["rate"] == 0.9]
    runs = stored_runs.read(write([*stored, *varied(once, "method.compress_at=0.25")]))
    main = compared(runs, questions(runs))
    assert set(main.runs["method"]) == {row["method"] for row in stored}


def test_schedules_are_a_question_although_each_has_its_own_options(
    grid: Grid, write: Write
) -> None:
    stored = grid(
        ["sst2", "trec"], methods=["quantization"], rates=[0.9], schedules=["fixed", "calr"]
    )
    for row in stored:
        row["overrides"] += f" schedule.upper={0.001 if row['schedule'] == 'fixed' else 0.002}"
    runs = stored_runs.read(write(stored))
    (question,) = questions(runs)
    assert question.option == "schedule"
    table = answers.table(question)
    assert table.name == "schedules"
    assert list(table.shown[""].columns) == [
        *("data set", "method", "rate (of the table)", "calr", "fixed")
    ]
    assert len(table.shown["Drop, in points"]) == 2  # the reference has no drop
    assert set(table.numbers["schedule"]) == {"fixed", "calr"}
    assert compared(runs, [question]).runs.empty


def test_runs_of_another_question_are_no_panel_of_the_main_one(grid: Grid, write: Write) -> None:
    """The runs are schedules without a reference, and variants of a method with other epochs."""
    stored = grid(methods=["in_training_svd", "quantization"], seeds=[0])
    one = only(stored, "in_training_svd", 0.9) + only(stored, "in_training_svd", 0.5)
    fixed = [
        row | {"run_id": f"{row['run_id']} fixed", "schedule": "fixed"}
        for row in (dict(row) for row in one)
    ]
    longer = varied(only(stored, "in_training_svd", 0.9), "train.epochs=40")
    variants = [
        each for share in (0.3, 0.6) for each in varied(longer, f"method.compress_at={share}")
    ]
    lone = only(grid(networks=["lstm"], seeds=[0]), "quantization", 0.9)
    runs = stored_runs.read(write([*stored, *fixed, *variants, *lone]))
    answered = questions(runs)
    assert "schedule" in [question.option for question in answered]
    assert "method.compress_at" in [question.option for question in answered]
    main = compared(runs, answered)
    assert set(main.runs["schedule"]) == {"calr"}
    assert "train.epochs=40" not in " ".join(main.runs["overrides"])
    # Runs of no other question remain, such as the single run of another network.
    assert len(main.runs) == len(stored) + len(lone)


def test_an_answer_shows_bytes_and_drops_only_if_they_are_known_and_differ(
    grid: Grid, write: Write
) -> None:
    stored = grid(methods=["in_training_svd"], rates=[0.9])
    small = varied(only(stored, "in_training_svd", 0.9), "network.hidden=9")
    runs = stored_runs.read(write([*stored, *[row | {"folded_bytes": 5e5} for row in small]]))
    shown = answers.table(questions(runs)[0]).shown[""]
    assert shown["network.hidden"].tolist() == ["9", "default"]
    assert shown["whole network"].tolist()[0] == "500 kB"
    assert "drop" not in shown  # the reference was not run with hidden=9
    reference = varied(only(stored, "none", 0.0), "network.hidden=9")
    runs = stored_runs.read(write([*stored, *small, *reference]))
    table = answers.table(questions(runs)[0])
    assert len(table.shown[""]) == 2  # the reference has a line too
    assert len(table.shown["Drop, in points"]) == 1


@pytest.mark.parametrize("values", [["9", "50", "300", "1000"], ["0.1", "0.25", "0.5"]])
def test_values_are_sorted_by_size(grid: Grid, write: Write, values: list[str]) -> None:
    one = only(grid(seeds=[0]), "in_training_svd", 0.9)
    stored = [row for value in values[::-1] for row in varied(one, f"network.hidden={value}")]
    table = answers.table(questions(stored_runs.read(write(stored)))[0])
    assert table.shown[""]["network.hidden"].tolist() == values
    assert isinstance(table.numbers, pd.DataFrame)
