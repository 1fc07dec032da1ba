"""The tables of a report: their numbers for CSV files, and their text for Markdown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ccompress.experiment import results
from ccompress.report import aggregation, provenance
from ccompress.report.aggregation import CELL
from ccompress.report.statistics import Estimate
from ccompress.report.stored_runs import PANEL, REFERENCE, Runs

NOTHING = "—"  # the mark of a cell that was not run or of a number that was not recorded
UNSIZED = (
    "an earlier version did not record the size of the network as it is deployed (folded), which "
    f"shows as {NOTHING}; `force=true` runs them again"
)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        name: The name of its CSV file.
        title: Its title on the page.
        note: The text below the title.
        numbers: The numbers for the CSV file.
        shown: Heading -> block of text, for the page.
        printed: Whether the terminal shows it too.
        tests: Whether it contains tests of significance.
    """

    name: str
    title: str
    note: str
    numbers: pd.DataFrame
    shown: dict[str, pd.DataFrame] = field(default_factory=dict)
    printed: bool = False
    tests: bool = False


def percent(share: float, digits: int = 1) -> str:
    """A fraction as a percentage, such as "90 %" or "89.7 %"; or the mark of a missing one."""
    if pd.isna(share):
        return NOTHING
    text = f"{100 * share:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def points(number: float) -> str:
    """A number of percentage points in words."""
    return "1 point" if number == 1 else f"{number:g} points"


def listed(words: Iterable[str]) -> str:
    """A list of words in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def interval(mean: Estimate, digits: int = 2) -> str:
    """A mean and, if there is one, its 95 % interval over seeds."""
    ends = "" if pd.isna(mean.low) else f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
    return f"{mean.mean:.{digits}f}{ends}"


def estimate(row: pd.Series, name: str, digits: int = 2) -> str:
    """The estimate `name` in a row of cells: its mean, 95 % interval over seeds, and n."""
    mean = Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], int(row[f"{name}_n"]))
    return f"{interval(mean, digits)} n={mean.n}" if mean.n else NOTHING


def number(value: float, spec: str = ",.0f") -> str:
    """A number, or the mark of a missing one."""
    return NOTHING if pd.isna(value) else format(value, spec)


def size(count: float) -> str:
    """A number of bytes in words, or the mark of a missing one."""
    return NOTHING if pd.isna(count) else results.size(count)


def title(panel: pd.Series, panels: pd.DataFrame) -> str:
    """The heading of a panel, with its schedule if `panels` have several."""
    words = [provenance.shown_name(panel["data"]), panel["network"]]
    if panels["schedule"].nunique() > 1:
        words.append(panel["schedule"])
    return ", ".join(words)


def blocks(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The heading and the cells of each panel, in order."""
    for _, block in cells.groupby(PANEL, sort=False):
        yield title(block.iloc[0], cells), block


def named(panel: pd.Series) -> dict[str, str]:
    """The first columns of a row that represents a panel."""
    return {
        "data set": provenance.shown_name(panel["data"]),
        "network": panel["network"],
        "schedule": panel["schedule"],
    }


def text(lines: Iterable[dict[str, str]]) -> pd.DataFrame:
    """Lines of text as a table, without the schedule if there is only one."""
    shown = pd.DataFrame(lines)
    return shown.drop(columns="schedule") if shown["schedule"].nunique() == 1 else shown


def data(done: pd.DataFrame, cells: pd.DataFrame) -> Table:
    """The data of each panel, its reference accuracy, and the test split's sampling error."""
    constant = ["vectors", "dim", "vocab_policy", "vocab_size", "vocab_with_vector", "classes"]
    constant += ["train_size", "dev_size", "test_size"]
    counted = bool(done["tokens_with_vector"].notna().any())  # earlier versions did not count them
    constant += ["tokens_with_vector"] * counted
    facts = done.groupby(PANEL, sort=False)[constant].first().reset_index()
    reference = cells[cells["method"] == REFERENCE]
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high", "sampling_error"]
    numbers = aggregation.panels(done).merge(reference[[*PANEL, *columns]], on=PANEL, how="left")
    numbers = numbers.fillna({"n": 0}).merge(facts, on=PANEL)
    shown = pd.DataFrame(
        {
            **named(row),
            "vectors": results.vectors_name(row["vectors"]),
            "V x d": f"{number(row['vocab_size'])} x {number(row['dim'])}",
            "words with a vector": number(row["vocab_with_vector"]),
            **({"tokens": percent(row["tokens_with_vector"])} if counted else {}),
            "classes": number(row["classes"]),
            "train / dev / test": " / ".join(
                number(row[f"{split}_size"]) for split in ("train", "dev", "test")
            ),
            "reference accuracy": estimate(row.rename({"n": "accuracy_n"}), "accuracy"),
            "sampling error": NOTHING
            if pd.isna(row["accuracy"])
            else results.sampling(row["accuracy"], row["test_size"]),
        }
        for _, row in numbers.iterrows()
    )
    spread = "mean over n seeds. "
    if reference["accuracy_low"].notna().any():
        spread = (
            "mean with its 95 % t-interval over n seeds: it says how far another seed may land on "
            "the same test split. "
        )
    note = (
        f"Accuracy in percent, {spread}Another test split of that size would move every "
        "accuracy by its sampling error too (binomial standard error of the reference accuracy, in "
        "points)."
    )
    if shown["sampling error"].str.startswith("[").any():
        note += f" {results.BRACKETS[0].upper()}{results.BRACKETS[1:]} (Wilson 1927)."
    notes = " ".join([note, *provenance.notes(done)])
    return Table("data", "Data, vectors and the reference", notes, numbers, {"": shown})


def accuracy(cells: pd.DataFrame, held: dict[str, str]) -> Table:
    """Mean accuracy at a glance, with one row per method and one column per requested rate.

    Args:
        cells: The result of `aggregation.summarize` for the runs.
        held: Options with one value in all of these runs, in which other runs of the report differ.
    """
    rates = sorted(cells.loc[cells["method"] != REFERENCE, "rate"].unique())
    lines = []
    for _, panel in cells.groupby(PANEL, sort=False):
        reference = panel.loc[panel["method"] == REFERENCE, "accuracy"]
        compressed = panel[panel["method"] != REFERENCE]
        shown = panel if compressed.empty else compressed
        for method, row in shown.groupby("method", sort=False):
            means = row.set_index("rate")["accuracy"]
            line = {**named(row.iloc[0]), "method": str(method)}
            line[REFERENCE] = number(reference.mean(), ".1f")
            line |= {percent(rate): number(means.get(rate, np.nan), ".1f") for rate in rates}
            lines.append(line | {"sampling error": number(row["sampling_error"].iloc[0], ".2f")})
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high"]
    note = (
        f"Test accuracy in percent, mean over seeds: of `{REFERENCE}`, the reference, and of each "
        "method at each requested rate (the share of the embedding table that is removed), with "
        "the test split's own sampling error. Intervals and n are in the CSV file and, for the "
        "drops, below."
    )
    if held:
        note += f" All with {', '.join(f'`{key}={value}`' for key, value in held.items())}."
    numbers = cells[[*CELL, "achieved", *columns]]
    return Table("accuracy", "Accuracy against rate", note, numbers, {"": text(lines)}, True)


def drops(cells: pd.DataFrame) -> Table:
    """The drop of every method at every rate."""
    compressed = cells[cells["method"] != REFERENCE]

    shown = {}
    for heading, block in blocks(compressed):
        lines = []
        for rate, at_rate in block.groupby("rate"):
            line = {"requested": percent(float(str(rate)))}
            for _, row in at_rate.iterrows():
                line[row["method"]] = estimate(row, "drop")
                shares = (row["achieved"], row["folded_reduction"])
                line[_removed_by(row["method"])] = ", ".join(map(percent, shares))
            lines.append(line)
        error = number(block["sampling_error"].iloc[0], ".2f")
        shown[f"{heading} (sampling error of the test split: {error})"] = _filled(lines, block)
    columns = ["achieved", "folded_reduction", "drop", "drop_low", "drop_high", "drop_n"]
    note = (
        "Accuracy of the reference minus accuracy of the method, in points, paired by seed: mean, "
        + "95 % t-interval over seeds, " * bool(compressed["drop_low"].notna().any())
        + "n. Negative: the compressed network is the better one. Beside "
        "it stand the shares of the bytes that the method removes of the table, which is what is "
        "requested, and of the network as it is deployed (folded)."
    )
    numbers = compressed[[*CELL, *columns]]
    return Table("drops", "Drop at each rate", note, numbers, shown)


def _removed_by(method: str) -> str:
    return f"{method}: of the table, of the network"


def _filled(lines: list[dict[str, str]], block: pd.DataFrame) -> pd.DataFrame:
    """Lines as a table with the methods in their order; a mark shows a cell that was not run."""
    methods = aggregation.methods(block)
    columns = [name for method in methods for name in (method, _removed_by(method))]
    return pd.DataFrame(lines, columns=["requested", *columns]).fillna(NOTHING)


_FEWEST = {
    "file_bytes": "The smallest model file (network, words and labels)",
    "folded_bytes": "The network of the fewest bytes, as it is deployed (folded),",
}


def smallest(cells: pd.DataFrame, within: float) -> Table:
    """The smallest model within `within` points of the reference, and the command to train it."""
    smallest = aggregation.smallest_within(cells, within)
    columns = ["method", "rate", "n", "drop", "drop_low", "drop_high", "drop_n", "accuracy"]
    columns += ["model_bytes_original", "folded_bytes", "folded_reduction", "embedding_bytes"]
    columns += ["file_bytes", "model_saved", "overrides"]
    every = cells[PANEL].drop_duplicates()
    numbers = every.merge(smallest[[*PANEL, *columns]], on=PANEL, how="left")
    numbers["drop_n"] = numbers["drop_n"].fillna(0)
    column, name = aggregation.shipped(cells)
    whole = "file_bytes" if column == "file_bytes" else "model_bytes_original"
    references = cells[cells["method"] == REFERENCE].set_index(PANEL)[whole].rename("of")
    sized = numbers.join(references, on=PANEL)
    # A run without a stored model is finished, so only `force` trains it again.
    kept = (numbers.pop("model_saved") == 1) | numbers["overrides"].isna()
    numbers["overrides"] += np.where(kept, "", " save_model=true force=true")
    shown = text(
        {
            **named(row),
            "method": NOTHING if pd.isna(row["method"]) else row["method"],
            "rate (of the table)": percent(row["rate"]),
            "drop": estimate(row, "drop"),
            name: size(row[column]),
            "of": size(row["of"]),
            f"removed (of the {name.rpartition(' ')[2]})": percent(1 - row[column] / row["of"]),
            "command": NOTHING if pd.isna(row["overrides"]) else f"`{row['overrides']}`",
        }
        for _, row in sized.assign(overrides=numbers["overrides"]).iterrows()
    )
    heading = f"The smallest model within {points(within)} of the reference"
    note = (
        f"{_FEWEST[column]} whose drop is at most {points(within)} in the mean of its seeds. It is "
        "picked by the same test accuracies that are shown: a description of these runs, slightly "
        "favourable to the model picked. The command trains it and leaves the model; on the same "
        "processor, with the `threads` of its row in runs.csv, it repeats to the last digit."
    )
    if unsized := int(cells["folded_bytes"].isna().sum()):
        note += f" Left out: {unsized} of {len(cells)} cells, as {UNSIZED}."
    return Table("smallest", heading, note, numbers, {"": shown}, True)


def gaps(runs: Runs, done: pd.DataFrame) -> list[Table]:
    """The tables of cells with missing seeds and of failed runs, without empty ones."""
    gaps = []
    lacking = aggregation.incomplete(done)
    if not lacking.empty:
        shown = text(
            {
                **named(block.iloc[0]),
                "method": block.iloc[0]["method"],
                "rates (seeds that lack)": "; ".join(
                    f"{percent(row.rate)} ({', '.join(map(str, row.seeds))})"
                    for row in block.itertuples()
                ),
            }
            for _, block in lacking.groupby([*PANEL, "method"], sort=False)
        )
        note = "Cells that lack seeds which most cells of their panel have."
        gaps.append(Table("missing", "Missing seeds", note, lacking, {"": shown}, True))
    if not runs.failed.empty:
        columns = [*CELL, "seed", "run_id", "error", "overrides"]
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
        gaps.append(Table("failed", "Failed runs", note, numbers, {"": shown}, True))
    return gaps
