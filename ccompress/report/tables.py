"""The tables of a report: the numbers for a CSV file, and what is shown of them in Markdown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ccompress.report import cells as cell
from ccompress.report import provenance
from ccompress.report.rows import PANEL, REFERENCE, Runs

NOTHING = "—"  # a cell that was not run


@dataclass(frozen=True)
class Table:
    """One table: `numbers` for CSV; for Markdown `shown`, blocks of text under their headings."""

    name: str
    title: str
    note: str
    numbers: pd.DataFrame
    shown: dict[str, pd.DataFrame] = field(default_factory=dict)


def percent(share: float, digits: int = 1) -> str:
    """A fraction as a percentage: 0.9 is "90 %", 0.897 "89.7 %"."""
    text = f"{100 * share:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def points(number: float) -> str:
    """A number of percentage points in words."""
    return "1 point" if number == 1 else f"{number:g} points"


def estimate(row: pd.Series, name: str, digits: int = 2) -> str:
    """Mean, 95 % interval over seeds and n of the estimate `name` in a row of cells."""
    count = int(row[f"{name}_n"])
    if count == 0:
        return NOTHING
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if pd.isna(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{row[name]:.{digits}f}{interval} n={count}"


def number(value: float, spec: str = ",.0f") -> str:
    """A number, or the mark of a missing one."""
    return NOTHING if pd.isna(value) else format(value, spec)


def title(panel: pd.Series, table: pd.DataFrame) -> str:
    """The heading of a panel; its schedule is named where `table` has several."""
    words = [provenance.shown_name(panel["data"]), panel["network"]]
    if table["schedule"].nunique() > 1:
        words.append(panel["schedule"])
    return ", ".join(words)


def blocks(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The panels of a table of cells, in order, with their headings."""
    for _, block in table.groupby(PANEL, sort=False):
        yield title(block.iloc[0], table), block


def named(panel: pd.Series) -> dict[str, str]:
    """The leading columns of a row that stands for a panel."""
    return {
        "data set": provenance.shown_name(panel["data"]),
        "network": panel["network"],
        "schedule": panel["schedule"],
    }


def text(lines: Iterable[dict[str, str]]) -> pd.DataFrame:
    """Lines of text as a table; the schedule is left out where there is only one."""
    shown = pd.DataFrame(lines)
    return shown.drop(columns="schedule") if shown["schedule"].nunique() == 1 else shown


def data(runs: Runs, table: pd.DataFrame) -> Table:
    """What each panel stands on, its reference accuracy, and the test split's sampling error."""
    constant = ["vectors", "dim", "vocab_policy", "vocab_size", "vocab_with_vector", "classes"]
    constant += ["train_size", "dev_size", "test_size"]
    facts = runs.done.groupby(PANEL, sort=False)[constant].first().reset_index()
    reference = table[table["method"] == REFERENCE]
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high", "sampling_error"]
    numbers = reference[[*PANEL, *columns]].merge(facts, on=PANEL, how="left")
    shown = pd.DataFrame(
        {
            **named(row),
            "vectors": row["vectors"],
            "V x d": f"{number(row['vocab_size'])} x {number(row['dim'])}",
            "words with a vector": number(row["vocab_with_vector"]),
            "classes": number(row["classes"]),
            "train / dev / test": " / ".join(
                number(row[f"{split}_size"]) for split in ("train", "dev", "test")
            ),
            "reference accuracy": estimate(row.rename({"n": "accuracy_n"}), "accuracy"),
            "sampling error": number(row["sampling_error"], ".2f"),
        }
        for _, row in numbers.fillna({"vectors": NOTHING}).iterrows()
    )
    note = (
        "Accuracy in percent, mean with its 95 % t-interval over n seeds: it says how far another "
        "seed may land on the same test split. Another test split of that size would move every "
        "accuracy by its sampling error too (binomial standard error of the reference accuracy, in "
        "points)."
    )
    notes = " ".join([note, *provenance.notes(runs.done)])
    return Table("data", "Data, vectors and the reference", notes, numbers, {"": shown})


def accuracy(table: pd.DataFrame) -> Table:
    """Mean accuracy at a glance: a row a method, a column a requested rate."""
    rates = sorted(table.loc[table["method"] != REFERENCE, "rate"].unique())
    reference = table[table["method"] == REFERENCE].set_index(PANEL)["accuracy"]
    lines = []
    for key, group in table.groupby([*PANEL, "method"], sort=False):
        row = group.iloc[0]
        if row["method"] == REFERENCE and rates:
            continue
        means = group.set_index("rate")["accuracy"]
        line = {**named(row), "method": row["method"]}
        line[REFERENCE] = number(reference[key[:-1]], ".1f")
        line |= {percent(rate): number(means[rate], ".1f") for rate in rates}
        lines.append(line | {"sampling error": number(row["sampling_error"], ".2f")})
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high"]
    note = (
        f"Test accuracy in percent, mean over seeds: of `{REFERENCE}`, the reference, and of each "
        "method at each requested rate, with the test split's own sampling error. Intervals and n "
        "are in the CSV file and, for the drops, below."
    )
    numbers = table[[*cell.CELL, "achieved", *columns]]
    return Table("accuracy", "Accuracy against rate", note, numbers, {"": text(lines)})


def drops(table: pd.DataFrame) -> Table:
    """The drop of every method at every rate."""
    run = table[table["method"] != REFERENCE]

    shown = {}
    for heading, block in blocks(run):
        lines = []
        for rate, at_rate in block.groupby("rate"):
            line = {"requested": percent(float(str(rate)))}
            for _, row in at_rate.iterrows():
                line[row["method"]] = estimate(row, "drop")
                line[f"{row['method']}: achieved"] = (
                    NOTHING if row["n"] == 0 else percent(row["achieved"])
                )
            lines.append(line)
        error = number(block["sampling_error"].iloc[0], ".2f")
        shown[f"{heading} (sampling error of the test split: {error})"] = pd.DataFrame(lines)
    columns = ["achieved", "drop", "drop_low", "drop_high", "drop_n"]
    note = (
        "Accuracy of the reference minus accuracy of the method, in points, paired by seed: mean, "
        "95 % t-interval over seeds, n. Negative: the compressed network is the better one."
    )
    numbers = run[[*cell.CELL, *columns]]
    return Table("drops", "Drop at each rate", note, numbers, shown)


def schedules(table: pd.DataFrame) -> Table:
    """Accuracy of each method under each schedule, side by side."""
    names = sorted(table["schedule"].unique())
    lines = []
    for (data_set, network, method, rate), group in table.groupby(
        ["data", "network", "method", "rate"], sort=False
    ):
        line = {"data set": provenance.shown_name(data_set), "network": network}
        line |= {"method": method, "rate": percent(rate)}
        line |= dict.fromkeys(names, NOTHING)
        line |= {row["schedule"]: estimate(row, "accuracy") for _, row in group.iterrows()}
        lines.append(line)
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high"]
    note = "Test accuracy in percent: mean, 95 % t-interval over seeds, n."
    numbers = table[[*cell.CELL, *columns]]
    return Table("schedules", "Schedules", note, numbers, {"": pd.DataFrame(lines)})


def smallest(table: pd.DataFrame, within: float) -> Table:
    """The smallest model within so many points of the reference, and the command that trains it."""
    found = cell.smallest_within(table, within)
    columns = ["method", "rate", "n", "drop", "drop_low", "drop_high", "drop_n", "accuracy"]
    columns += ["model_bytes_original", "model_bytes", "embedding_bytes", "file_bytes", "overrides"]
    every = table[PANEL].drop_duplicates()
    numbers = every.merge(found[[*PANEL, *columns]], on=PANEL, how="left")
    numbers["drop_n"] = numbers["drop_n"].fillna(0)
    # Such a run is finished but left no model: only force trains it again.
    kept = numbers["file_bytes"].notna() | numbers["overrides"].isna()
    numbers["overrides"] += np.where(kept, "", " save_model=true force=true")
    shown = text(
        {
            **named(row),
            "method": NOTHING if pd.isna(row["method"]) else row["method"],
            "rate": NOTHING if pd.isna(row["rate"]) else percent(row["rate"]),
            "drop": estimate(row, "drop"),
            "model bytes": number(row["model_bytes"]),
            "of": number(row["model_bytes_original"]),
            "command": NOTHING if pd.isna(row["overrides"]) else f"`{row['overrides']}`",
        }
        for _, row in numbers.iterrows()
    )
    heading = f"The smallest model within {points(within)} of the reference"
    note = (
        f"The model of the fewest bytes whose drop is at most {points(within)} in the mean of its "
        "seeds. It is picked by the same test accuracies that are shown: a description of these "
        "runs, slightly favourable to the model picked. The command trains it and leaves the "
        "model; on the same processor, with the `threads` of its row in runs.csv, it repeats to "
        "the last digit."
    )
    return Table("smallest", heading, note, numbers, {"": shown})


def gaps(runs: Runs) -> list[Table]:
    """What is missing from the grid, and which runs failed; empty where nothing is."""
    found = []
    lacking = cell.missing(runs.done)
    if not lacking.empty:
        shown = text(
            {
                **named(block.iloc[0]),
                "method": block.iloc[0]["method"],
                "rates (seeds)": "; ".join(
                    f"{percent(row.rate)} ({', '.join(map(str, row.seeds))})"
                    for row in block.itertuples()
                ),
            }
            for _, block in lacking.groupby([*PANEL, "method"], sort=False)
        )
        note = "Runs that the grid of this report has elsewhere but not here."
        found.append(Table("missing", "Missing runs", note, lacking, {"": shown}))
    if not runs.failed.empty:
        columns = [*cell.CELL, "seed", "run_id", "error", "overrides"]
        numbers = runs.failed[columns]
        shown = text(
            {
                **named(row),
                "method": row["method"],
                "rate": percent(row["rate"]),
                "seed": number(row["seed"]),
                "error": row["error"],
            }
            for _, row in numbers.iterrows()
        )
        note = "The error that ended each run; it counts as missing."
        found.append(Table("failed", "Failed runs", note, numbers, {"": shown}))
    return found
