"""The table that answers a question: what does one option change?"""

import re

import pandas as pd

from ccompress.report import aggregation, comparisons, summary
from ccompress.report.aggregation import CELL, estimate_columns, method_order
from ccompress.report.labels import natural
from ccompress.report.provenance import is_synthetic
from ccompress.report.questions import SCHEDULE, Question
from ccompress.report.statistics import MIN_SEEDS
from ccompress.report.stored_runs import REFERENCE
from ccompress.report.tables import NOTHING, Table, estimate, named, percent, size

_AVERAGED = ["folded_bytes", "embedding_bytes", "file_bytes"]
_SIZES = {
    "file_bytes": "The size of the model file (network, words and labels)",
    "folded_bytes": "The network's size, as it is deployed (folded),",
}


def table(question: Question) -> Table:
    """Accuracy for each value of the option, and the drop if the reference was run too."""
    cells = _cells(question.runs)
    values = sorted(cells["value"].unique(), key=natural)
    rows = [
        (_common(group.iloc[0]), group.set_index("value").reindex(values))
        for _, group in cells.groupby(CELL, sort=False)
    ]
    every = pd.DataFrame(common for common, _ in rows)
    # The note above the table, and not each line, shows what all rows have in common.
    constant = [name for name in every if every[name].nunique() == 1]
    if len(rows) == 1:
        shown = {"": _upright(question.option, *rows[0])}
    else:
        shown = {"": _lines(rows, constant, "accuracy")}
        paired = [row for row in rows if _is_paired(*row)]
        shown |= {"Drop, in points": _lines(paired, constant, "drop")} if paired else {}
    differences = _differences(question.runs) if question.option == SCHEDULE else {}
    return Table(
        _file_name(question.option),
        f"What `{question.option}` changes",
        _note(cells, {name: every[name].iloc[0] for name in constant}),
        cells.drop(columns=question.option, errors="ignore").rename(
            columns={"value": question.option}
        ),
        shown | differences,
        printed=True,
        tests=bool(differences),
    )


def _file_name(option: str) -> str:
    return "schedules" if option == SCHEDULE else "by_" + re.sub(r"\W+", "_", option)


def _cells(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and value of the option, with accuracy, drop and sizes."""
    cells = []
    for key, group in runs.groupby([*CELL, "value"], sort=False):
        cell: dict[str, object] = dict(zip([*CELL, "value"], key, strict=True))
        cell |= {"n": len(group), **estimate_columns("accuracy", group["test_accuracy"])}
        cell |= estimate_columns("drop", group["drop"])
        cells.append(cell | group[_AVERAGED].mean().to_dict())

    def order(cell: dict[str, object]) -> tuple[object, ...]:
        names = [natural(str(cell[name])) for name in ("data", "network", "schedule")]
        method = method_order(str(cell["method"]))
        value = natural(str(cell["value"]))
        return (is_synthetic(str(cell["data"])), *names, method, cell["rate"], value)

    return pd.DataFrame(sorted(cells, key=order))


def _common(cell: pd.Series) -> dict[str, str]:
    """The first columns of a line, which show everything except the option."""
    rate = NOTHING if cell["method"] == REFERENCE else percent(cell["rate"])
    return {**named(cell), "method": cell["method"], "rate (of the table)": rate}


def _is_paired(common: dict[str, str], cells: pd.DataFrame) -> bool:
    """Whether the reference was run with every value of the option."""
    return common["method"] != REFERENCE and bool((cells["drop_n"] > 0).all())


def _upright(option: str, common: dict[str, str], cells: pd.DataFrame) -> pd.DataFrame:
    """A table with one line per value of the option."""
    columns: dict[str, list[str]] = {option: list(cells.index)}
    columns["accuracy"] = [estimate(cell, "accuracy") for _, cell in cells.iterrows()]
    if _is_paired(common, cells):
        columns["drop"] = [estimate(cell, "drop") for _, cell in cells.iterrows()]
    bytes_, name = aggregation.shipped(cells)
    if cells[bytes_].nunique() > 1:
        columns[name] = [size(count) for count in cells[bytes_]]
    return pd.DataFrame(columns)


def _lines(
    rows: list[tuple[dict[str, str], pd.DataFrame]], constant: list[str], name: str
) -> pd.DataFrame:
    """A table with one line per cell and one column per value of the option."""
    lines = []
    for common, cells in rows:
        bytes_, _ = aggregation.shipped(cells[cells["n"].notna()])
        sizes = name == "accuracy" and cells[bytes_].nunique() > 1
        entries = {
            value: NOTHING
            if pd.isna(cell["n"])
            else estimate(cell, name) + (f", {size(cell[bytes_])}" if sizes else "")
            for value, cell in cells.iterrows()
        }
        lines.append({key: common[key] for key in common if key not in constant} | entries)
    return pd.DataFrame(lines)


def _differences(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tests of the paper's schedule against the others, averaged over cells."""
    tested = comparisons.schedule_comparisons(runs.assign(schedule=runs["value"]))
    lines = [
        {
            "method": row["method"],
            "rate (of the table)": NOTHING if row["method"] == REFERENCE else percent(row["rate"]),
            "schedules": f"{row['schedule']} minus {row['other']}",
            **summary.in_the_mean(row),
        }
        for _, row in tested[tested["p"].notna()].iterrows()
    ]
    heading = f"Differences of the means: {summary.TEST}, over those of one rate"
    return {heading: pd.DataFrame(lines)} if lines else {}


def _note(cells: pd.DataFrame, held: dict[str, str]) -> str:
    interval = " with its 95 % t-interval" if (cells["n"] >= MIN_SEEDS).any() else ""
    sentences = [f"Test accuracy in percent, mean over n seeds{interval}."]
    bytes_, _ = aggregation.shipped(cells)
    if cells.groupby(CELL)[bytes_].nunique().gt(1).any():
        sentences.append(f"{_SIZES[bytes_]} is shown where it differs.")
    if shown := [f"{name} {held[name]}" for name in held if held[name] not in ("", NOTHING)]:
        sentences.append(f"Equal in all: {', '.join(shown)}.")
    return " ".join(sentences)
