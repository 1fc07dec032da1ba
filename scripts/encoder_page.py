"""Writes the page of `scripts/encoder` from results/encoder/runs.csv."""

from pathlib import Path

import pandas as pd

from ccompress import storage
from ccompress.report.document import markdown
from ccompress.report.statistics import Estimate, t_interval

TASKS = ("sst2", "trec", "snips", "clinc150")
HEAD = """# The word embeddings of a real sentence encoder

all-MiniLM-L6-v2 has a table of 30,522 x 384 numbers, half of its {parameters} parameters. Here the
table is compressed after the fact, with and without `ccompress.recover`, which trains the encoder
to give the uncompressed one's hidden states on {texts} training texts of the four data sets,
without their labels. `scripts/encoder` computes the rows, and writes this page from `runs.csv`.

- *removed*: of the table's bytes.
- *error*: ||E - E'|| / ||E|| of the table, before recovery.
- *cosine*: the mean cosine of the compressed and the uncompressed encoder's sentence embeddings of
  the test texts; *rank*: Spearman's correlation of their similarities of 20,000 random pairs.
- The other columns are test accuracies in percent of a logistic regression on the sentence
  embeddings of 2,000 training texts.

Numbers after recovery are means with 95 % t-intervals over seeds, which change the order of the
texts. Tables of real encoders are not of low rank: without recovery, low rank alone is useless.

"""


def write(folder: Path) -> None:
    """Write README.md beside runs.csv."""
    rows = pd.read_csv(folder / "runs.csv")
    texts = f"{int(rows['texts'].max()):,}" if rows["recovered"].any() else "no"
    page = HEAD.format(parameters="22.7 million", texts=texts)
    page += markdown(pd.DataFrame([_line(group) for _, group in _groups(rows)])) + "\n"
    storage.write_text(folder / "README.md", page)


def _groups(rows: pd.DataFrame) -> list[tuple[object, pd.DataFrame]]:
    """The rows of each case, in the order of their first occurrence."""
    return list(rows.groupby(["method", "rate", "recovered"], sort=False))


def _line(group: pd.DataFrame) -> dict[str, str]:
    first = group.iloc[0]
    line = {"method": f"`{first['method']}`", "removed": "", "error": ""}
    if first["method"] != "none":
        line["removed"] = f"{1 - first['bytes_after'] / first['bytes_before']:.1%}"
        line["error"] = f"{first['relative_error']:.2f}"
    line["recovered"] = "yes" if first["recovered"] else "no"
    for name, title, digits in (
        ("cosine", "cosine", 3),
        ("rank_correlation", "rank", 3),
        *((task, task, 1) for task in TASKS),
    ):
        line[title] = _shown(t_interval(group[name].tolist()), digits)
    return line


def _shown(estimate: Estimate, digits: int) -> str:
    mean = f"{estimate.mean:.{digits}f}"
    if estimate.low != estimate.low:  # nan: too few seeds for an interval
        return mean
    return f"{mean} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
