"""The page of `scripts/peers`, from results/peers/peers.csv and correct.csv.xz alone."""

import functools
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ccompress import storage
from ccompress.experiment import results
from ccompress.report import axes, items
from ccompress.report.document import Picture, markdown, write_figure
from ccompress.report.provenance import shown_name
from ccompress.report.statistics import Estimate, Floats, t_interval
from ccompress.report.style import COLOURS
from ccompress.report.tables import interval

ROWS = "peers.csv"
COLUMNS = (
    "run_id",
    "dataset",
    "tool",
    "setting",
    "seed",
    "dev_accuracy",
    "test_accuracy",
    "file_bytes",
    "per_second_1",
    "per_second_64",
    "train_seconds",
    "test_size",
    "device",
    "versions",
    "command",
)
TOLD = ("dataset", "tool", "setting", "seed", "dev_accuracy", "test_accuracy", "file_bytes")
OURS, BASELINE = "ccompress", "TF-IDF"
SEEDS = range(5)
_SMALLEST = 10_000  # where figures begin
BUDGETS = (20_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000)  # bytes
_KEY = ["dataset", "tool", "budget"]
_MARKERS = {OURS: "o", BASELINE: "s", "fastText": "^", "torch": "D"}

PAGE = """# Other tools, side by side

**Accuracy by the bytes of the whole file**: `in_training_svd_mixed`, all other layers in 8 bits,
against what else makes a small text classifier. `scripts/peers` computes the rows and writes
this page from `{rows}` and `{correct}`.

{answer}

- **TF-IDF**: `ccompress baseline`, TF-IDF of words and word pairs with a linear classifier, weights
  in 3 to 8 bits (scikit-learn, BSD-3-Clause).
- **fastText**: its supervised classifier, pruned, quantized and retrained (`.ftz`), with n-grams of
  up to 3 words, from random or from pretrained vectors, which an SVD reduces to its number of
  dimensions. The package is fasttext-numpy2, fastText for numpy 2 (MIT,
  [source](https://github.com/simon-ging/fasttext-numpy2)). It runs on 12 threads, because with
  fewer than 10 a part of its matrix is never drawn; so its results differ beyond the seed.
- **torch**: this project's deep averaging network, trained without compression. Its table and its
  dense layers are then rounded to 8 or 4 bits by torch.ao.quantization or torchao (BSD-3-Clause,
  [source](https://github.com/pytorch/ao)) and stored by `torch.save`. torchao stores 4 bits in 8.
- **ccompress**: the same network, smaller ones, fewer words, and word pairs (`network.ngrams=2`).

All read the same tokens and splits, and the words of training only. ccompress and torch start from
`imdb-glove.300d`.

**Effort**: {trials}.
Each was tried once, with seed 0. All choices are made on dev: for each size, the best whose largest
file is no larger. What is chosen trains with seeds {seeds}; TF-IDF has no seed. `scripts/peers`
goes on where rows are missing.
"""
SECTION = """
## {name}

![Accuracy against file size on {data}](figures/{data}.svg)

*Test accuracy of what dev chose, mean of the seeds with the 95 % t-interval, against the bytes of
the whole file. A line goes on until a larger file is chosen.*

Test accuracy of the best under each size, in percent, mean of the seeds with the 95 % t-interval
(mean bytes of the file). The last column is ccompress minus the best other tool, with the 95 %
interval over seeds and test items. The best other tool is the best on test, which favours it.

{lacking}{best}

<details><summary>What was chosen, and its speed</summary>

Sentences a second of one thread's own time, from tokens to labels, one at a time and 64 at a time.

{chosen}

</details>
"""


def write(folder: Path, settings: Mapping[str, Collection[str]]) -> None:
    """Write README.md and the figures beside the rows.

    Args:
        folder: The folder of the rows.
        settings: What each tool with random results is to try on each data set.
    """
    rows = read(folder)
    lacking = incomplete(rows, settings)
    taken = at_choices(rows)
    sizes = taken.set_index("run_id")["test_size"].to_dict()
    against = compared(taken, items.read_correct(folder / results.CORRECT, sizes))
    page = PAGE.format(
        rows=ROWS,
        correct=results.CORRECT,
        answer=answer(against, lacking),
        trials=tried(rows),
        seeds=f"{SEEDS[0]} to {SEEDS[-1]}",
    )
    for data, block in taken.groupby("dataset", sort=False):
        write_figure(
            folder / "figures", Picture(str(data), "", functools.partial(figure, block, str(data)))
        )
        page += SECTION.format(
            name=shown_name(str(data)),
            data=data,
            lacking=f"**Not complete**: {lacking[str(data)]}.\n\n" if data in lacking else "",
            best=markdown(best(block, against[against["dataset"] == data])),
            chosen=markdown(details(block)),
        )
    storage.write_text(folder / "README.md", page)


def read(folder: Path) -> pd.DataFrame:
    """All rows; none before the first is there."""
    path = folder / ROWS
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))


def choices(rows: pd.DataFrame) -> pd.DataFrame:
    """The setting that each data set and tool chooses for each size, by dev accuracy with seed 0.

    A setting fits a size if the largest of its files does. Of equally good ones, the smallest is
    taken.
    """
    key = ["dataset", "tool", "setting"]
    largest = rows.groupby(key)["file_bytes"].max().rename("largest").reset_index()
    trials = rows[rows["seed"] == 0].merge(largest, on=key)
    trials = trials.sort_values(["dev_accuracy", "largest"], ascending=[False, True])
    lines = []
    for budget in BUDGETS:
        chosen = trials[trials["largest"] <= budget].drop_duplicates(["dataset", "tool"])
        lines.append(chosen[key].assign(budget=budget))
    return pd.concat(lines, ignore_index=True)


def missing(rows: pd.DataFrame, tools: Collection[str]) -> list[tuple[str, str, int]]:
    """The tool, setting and seed of each row that the choices lack, small sizes first."""
    there = set(rows[["dataset", "tool", "setting", "seed"]].itertuples(index=False, name=None))
    lacking = [
        (line.dataset, line.tool, line.setting, seed)
        for line in choices(rows).itertuples()
        for seed in SEEDS
        if line.tool in tools and line.tool != BASELINE
    ]
    return [key[1:] for key in dict.fromkeys(lacking) if key not in there]


def at_choices(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the chosen settings, with their `budget`; a row may serve several."""
    chosen = choices(rows).merge(rows, on=["dataset", "tool", "setting"])
    return chosen.sort_values([*_KEY, "seed"], ignore_index=True)


def compared(taken: pd.DataFrame, right: dict[str, Floats]) -> pd.DataFrame:
    """A line a data set and size: ccompress minus the best other tool, with its interval.

    The best other tool is the best on test. Where ccompress or all others have no file so small,
    there is no line.
    """
    lines = []
    for (data, budget), block in taken.groupby(["dataset", "budget"]):
        means = block.groupby("tool")["test_accuracy"].mean()
        others = means.drop(OURS, errors="ignore")
        if OURS not in means or others.empty:
            continue
        peer = str(others.idxmax())
        ours, theirs = (
            block.loc[block["tool"] == tool].sort_values("seed")["run_id"].tolist()
            for tool in (OURS, peer)
        )
        if len(theirs) == 1:  # what has no seed is compared with each
            theirs *= len(ours)
        pairs = list(zip(ours, theirs, strict=False))
        apart = items.interval([(str(data), items.differences(right, pairs))])
        lines.append({"dataset": data, "budget": budget, "peer": peer, "difference": apart})
    return pd.DataFrame(lines, columns=["dataset", "budget", "peer", "difference"])


def verdict(apart: Estimate) -> str:
    """Which of two tools is ahead, by the interval of their difference."""
    if apart.low > 0:
        return "ahead"
    return "behind" if apart.high < 0 else "level"


def answer(against: pd.DataFrame, lacking: Collection[str]) -> str:
    """A line a data set: where ccompress is ahead, level or behind.

    Args:
        against: The result of `compared`.
        lacking: The data sets that are not complete.
    """
    said = []
    for data, block in against.groupby("dataset", sort=False):
        parts = [
            f"{_size(line.budget)} {verdict(line.difference)} ({line.difference.mean:+.1f} points "
            f"against {line.peer})"
            for line in block.itertuples()
        ]
        note = " (not complete)" * (data in lacking)
        said.append(f"- {shown_name(str(data))}{note}: under " + ", ".join(parts) + ".")
    head = (
        "ccompress is, against the best other tool of each size (95 % interval of the difference):"
    )
    return "\n".join([head, "", *said])


def tried(rows: pd.DataFrame) -> str:
    """How many settings each tool tried on each data set, in words."""
    trials = rows[rows["seed"] == 0].groupby(["tool", "dataset"]).size()
    parts = []
    for tool, counts in trials.groupby(level="tool"):
        low, high = counts.min(), counts.max()
        settings = "setting" if high == 1 else "settings"
        parts.append(f"{low if low == high else f'{low} to {high}'} {settings} of {tool}")
    return ", ".join(sorted(parts, key=str.casefold)) + " on each data set"


def incomplete(rows: pd.DataFrame, settings: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Data set -> what it lacks, in words; without the data sets that lack nothing."""
    lacking = {}
    for data, block in rows.groupby("dataset"):
        parts = []
        first = block[block["seed"] == 0]
        for tool, wanted in settings.items():
            tried = len(set(wanted) & set(first.loc[first["tool"] == tool, "setting"]))
            if tried < len(wanted):
                parts.append(f"{tool} has tried {tried} of {len(wanted)} settings")
        if BASELINE not in set(block["tool"]):
            parts.append(f"{BASELINE} is not there")
        if count := len(missing(block, settings)):
            parts.append(f"{count} runs of the other seeds are missing")
        if parts:
            lacking[str(data)] = ", ".join(parts)
    return lacking


def best(taken: pd.DataFrame, against: pd.DataFrame) -> pd.DataFrame:
    """A line a size, a column a tool, and the comparison."""
    lines = []
    differences = against.set_index("budget")["difference"].to_dict()
    for budget in BUDGETS:
        line = {"under": _size(budget)}
        for tool in _tools(taken):
            block = taken[(taken["tool"] == tool) & (taken["budget"] == budget)]
            line[tool] = _shown(tool, block) if len(block) else "—"
        apart = differences.get(budget)
        line[f"{OURS} is"] = f"{verdict(apart)}, {interval(apart, 1)}" if apart else "—"
        lines.append(line)
    return pd.DataFrame(lines)


def _shown(tool: str, block: pd.DataFrame) -> str:
    """The mean accuracy and size, and the number of seeds where some are missing."""
    mean = interval(t_interval(block["test_accuracy"].to_numpy()), 1)
    few = f", n={len(block)}" * (tool != BASELINE and len(block) < len(SEEDS))
    return f"{mean} ({_size(block['file_bytes'].mean())}{few})"


def details(taken: pd.DataFrame) -> pd.DataFrame:
    """A line a tool and chosen setting."""
    lines = []
    for (tool, setting), block in taken.groupby(["tool", "setting"], sort=False):
        runs = block.drop_duplicates("seed")
        lines.append(
            {
                "tool": tool,
                "setting": f"`{setting}`",
                "under": ", ".join(_size(budget) for budget in sorted(set(block["budget"]))),
                "n": len(runs),
                "dev": f"{runs['dev_accuracy'].mean():.1f}",
                "test": f"{runs['test_accuracy'].mean():.1f}",
                "file": _size(runs["file_bytes"].mean()),
                "one at a time": f"{runs['per_second_1'].median():,.0f}",
                "64 at a time": f"{runs['per_second_64'].median():,.0f}",
                "training": f"{runs['train_seconds'].median():.0f} s",
            }
        )
    return pd.DataFrame(lines)


def _size(count: float) -> str:
    return results.size(count).replace(".00 MB", " MB")


def _tools(rows: pd.DataFrame) -> list[str]:
    return [tool for tool in _MARKERS if tool in set(rows["tool"])]


def figure(taken: pd.DataFrame, data: str) -> Figure:
    """Mean test accuracy of what was chosen against the mean size of its file."""
    drawn = Figure(figsize=(5.4, 3.3), layout="constrained")
    ax = drawn.subplots()
    for tool, colour in zip(_MARKERS, COLOURS, strict=False):
        cells = _cells(taken[taken["tool"] == tool])
        if cells.empty:
            continue
        sizes, means = cells["size"].tolist(), cells["accuracy"].tolist()
        ends = [*sizes, BUDGETS[-1]]
        ax.step(ends, [*means, means[-1]], where="post", color=colour, linewidth=0.8)
        reach = [cells["accuracy"] - cells["low"], cells["high"] - cells["accuracy"]]
        look: dict[str, Any] = {
            "color": colour,
            "marker": _MARKERS[tool],
            "linestyle": "none",
            "elinewidth": 0.8,
        }
        ax.errorbar(sizes, means, reach, label=tool, **look)
    ax.set_xlim(min(_SMALLEST, 0.8 * taken["file_bytes"].min()), BUDGETS[-1])
    axes.sizes(ax)
    ax.set_xlabel("whole file (log scale)")
    ax.set_ylabel("test accuracy, %")
    ax.set_title(shown_name(data), loc="left")
    drawn.legend(loc="outside upper center", ncols=len(_MARKERS), frameon=False)
    return drawn


def _cells(taken: pd.DataFrame) -> pd.DataFrame:
    """The mean size and the accuracy of each chosen setting of a tool, small sizes first."""
    lines = []
    for _, block in taken.drop_duplicates(["setting", "seed"]).groupby("setting", sort=False):
        mean = t_interval(block["test_accuracy"].to_numpy())
        low, high = (mean.mean if math.isnan(end) else end for end in (mean.low, mean.high))
        line = {"size": block["file_bytes"].mean(), "accuracy": mean.mean, "low": low, "high": high}
        lines.append(line)
    cells = pd.DataFrame(lines, columns=["size", "accuracy", "low", "high"])
    return cells.sort_values("size", ignore_index=True)
