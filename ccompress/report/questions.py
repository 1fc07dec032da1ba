"""The questions of a report: what does each option that varies between the runs change?

The runs that answer a question are equal in everything except one option and the seed. Each
question has its own table. The main question concerns methods and rates, and figures answer it too.
It leaves out runs that answer only another question, such as a hidden size that was tried at one
rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ccompress.report.aggregation import CELL
from ccompress.report.stored_runs import PANEL, REFERENCE, Runs

SCHEDULE = "schedule"


@dataclass(frozen=True)
class Question:
    """The question of what an option changes.

    Attributes:
        option: The option, such as `network.hidden`; or `schedule`.
        runs: The finished runs that answer the question, with the columns of `Runs.done`. The
            column `value` holds the option's value; the names in `data`, `network`, `method` and
            `schedule` do not show it.
    """

    option: str
    runs: pd.DataFrame


def questions(runs: Runs) -> list[Question]:
    """The questions that the runs answer: schedules, then each option in which they differ."""
    asked = [_schedules(runs), *(_option(runs, option) for option in runs.labels.differing)]
    return [question for question in asked if not question.runs.empty]


def _schedules(runs: Runs) -> Question:
    """What the choice of a schedule changes, for cells with one set of options per schedule."""
    named = runs.done.assign(value=runs.done["schedule"], schedule="")
    named["chosen"] = runs.labels.chosen["schedule"]
    groups = named.groupby(CELL, sort=False)
    chosen = groups["chosen"].transform("nunique")
    answers = (chosen > 1) & (chosen == groups["value"].transform("nunique"))
    return Question(SCHEDULE, named[answers].drop(columns="chosen"))


def _option(runs: Runs, option: str) -> Question:
    """What one option changes."""
    labels = runs.labels
    column = labels.owners[option]
    named = runs.done.assign(value=labels.differing[option])
    named[column] = labels.names(column, [key for key in labels.differing if key != option])
    named = named[named["value"] != ""]
    answers = named.groupby(CELL, sort=False)["value"].transform("nunique") > 1
    return Question(option, named[answers])


@dataclass(frozen=True)
class Comparison:
    """The main question: which method, at which rate?

    Attributes:
        runs: The finished runs that answer it, with the columns of `Runs.done`. Their names show
            only the options in which these runs differ.
        held: Options in which other runs of the report differ -> the value in all of these runs.
    """

    runs: pd.DataFrame
    held: dict[str, str]


def compared(runs: Runs, asked: Sequence[Question]) -> Comparison:
    """The main question.

    It leaves out runs that answer another question and say nothing about methods and rates. These
    are panels with one method at one rate, panels with one method at several rates but without the
    reference, and variants of a method at one rate if the method was run at several.
    """
    answering = {index for question in asked for index in question.runs.index}
    kept: list[int] = []
    for _, panel in runs.done.groupby(PANEL, sort=False):
        compressed = panel[panel["method"] != REFERENCE]
        subject = panel if compressed.empty else compressed
        base = panel["method"].str.partition(",")[0]
        alone = base[subject.index].nunique() < 2
        several = subject["rate"].nunique() > 1 and len(subject) < len(panel)
        if alone and not several and answering.issuperset(subject.index):
            continue
        rates = panel.groupby("method")["rate"].transform("nunique")
        most = rates.groupby(base).transform("max")
        variant = (rates == 1) & (most > 1) & panel.index.isin(answering)
        kept += list(panel.index[~variant | (panel["method"] == REFERENCE)])
    main = runs.done.loc[sorted(kept)].copy()
    values = runs.labels.differing.loc[main.index].replace("", None)
    held = {
        str(key): str(values[key].dropna().iloc[0]) for key in values if values[key].nunique() == 1
    }
    for column in ("data", "network", "schedule", "method"):
        names = runs.labels.names(column, [key for key in values if key not in held])
        main[column] = names.loc[main.index]
    return Comparison(main, held)
