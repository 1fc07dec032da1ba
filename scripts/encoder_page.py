"""Writes the page of `scripts/encoder` from results/encoder/encoder.csv."""

from pathlib import Path

import pandas as pd

from ccompress import storage
from ccompress.report.document import markdown
from ccompress.report.statistics import Estimate, t_interval

ROWS = "encoder.csv"  # not runs.csv, which sweeps read as rows of runs
TASKS = ("sst2", "trec", "snips", "clinc150")
HEAD = """# The word embeddings of a real sentence encoder

all-MiniLM-L6-v2 has a table of 30,522 x 384 numbers, half of its {parameters} parameters. Here the
table is compressed after the fact, with and without `ccompress.recover`, which trains the encoder
to give the uncompressed one's hidden states on {texts} training texts of the four data sets,
without their labels. `scripts/encoder` computes the rows, and writes this page from `encoder.csv`.

- *removed*: of the table's bytes.
- *error*: ||E - E'|| / ||E|| of the table, before recovery.
- *cosine*: the mean cosine of the compressed and the uncompressed encoder's sentence embeddings of
  the test texts; *rank*: Spearman's correlation of their similarities of 20,000 random pairs.
- The other columns are test accuracies in percent of a logistic regression on the sentence
  embeddings of 2,000 training texts.

Numbers after recovery are means with 95 % t-intervals over seeds, which change the order of the
texts. The texts that train the recovery, and whose words `in_training_svd_mixed` counts, are of the
same data sets as the test texts. Text of another kind was not tried.

{summary}

*accuracy*: the mean of the four tasks; of the uncompressed encoder it is {accuracy:.1f} %.

## All of it

"""


def write(folder: Path) -> None:
    """Write README.md beside its rows."""
    rows = pd.read_csv(folder / ROWS)
    texts = f"{int(rows['texts'].max()):,}" if rows["recovered"].any() else "no"
    page = HEAD.format(
        parameters="22.7 million",
        texts=texts,
        summary=summary(rows),
        accuracy=rows.loc[rows["method"] == "none", list(TASKS)].mean(axis=None),
    )
    page += markdown(pd.DataFrame([_line(group) for _, group in _groups(rows)])) + "\n"
    storage.write_text(folder / "README.md", page)


def summary(rows: pd.DataFrame) -> str:
    """A line for each case, after `compress` and after `recover`; the docs page shows it too."""
    rows = rows.assign(accuracy=rows[list(TASKS)].mean(axis=1))
    lines = []
    for (method, _), case in rows[rows["method"] != "none"].groupby(["method", "rate"], sort=False):
        first = case.iloc[0]
        line = {
            "method": f"`{method}`",
            "removed": f"{1 - first['bytes_after'] / first['bytes_before']:.1%}",
            "error of the table": f"{first['relative_error']:.2f}",
        }
        for name, recovered in (("compress", False), ("recover", True)):
            means = case.loc[case["recovered"] == recovered, ["cosine", "accuracy"]].mean()
            line[f"cosine after `{name}`"] = f"{means['cosine']:.3f}"
            line[f"accuracy after `{name}`"] = f"{means['accuracy']:.1f}"
        lines.append(line)
    return markdown(pd.DataFrame(lines))


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
