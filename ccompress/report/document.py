"""The files of a report: tables as Markdown and CSV, figures as SVG and PNG, and their page."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ccompress import storage
from ccompress.report import lettering
from ccompress.report.style import printing
from ccompress.report.tables import Table

PAGE = "tables.md"
_LONG = 60  # the page hides a table with more lines than this behind a summary


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file name, its caption, and the function that draws it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


def write(out: Path, heading: str, intro: Sequence[str], parts: list[Table | Picture]) -> None:
    """Write all parts below `out`, and a page that shows the sentences of `intro` and the parts.

    Files that the former page showed and the new one does not are deleted. Otherwise a table of
    missing runs would remain after the runs are complete.
    """
    former = _shown(out / PAGE)
    missing = ""
    page = [f"# {_plain(heading)}", "Written by `ccompress report` from stored runs; do not edit."]
    page.append("\n".join(f"- {_plain(sentence)}" for sentence in intro))
    for part in parts:
        if isinstance(part, Table):
            _write_csv(out / "tables" / f"{part.name}.csv", part.numbers)
            page.append(_section(part))
        else:
            missing += write_figure(out / "figures", part)
            page.append(f"![{part.name}](figures/{part.name}.svg)\n\n*{_plain(part.caption)}*")
    storage.write_text(out / PAGE, "\n\n".join(page) + "\n")
    for path in former - _shown(out / PAGE):
        path.unlink(missing_ok=True)
    lettering.tell_missing(missing)


def _shown(page: Path) -> set[Path]:
    """The files of tables and figures that a page names."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    named = [
        page.parent / name for name in re.findall(r"\]\(((?:tables|figures)/\w+\.\w+)\)", text)
    ]
    return {*named, *(path.with_suffix(".png") for path in named if path.suffix == ".svg")}


def markdown(table: pd.DataFrame) -> str:
    """A table of text as Markdown, with escaped names (see `_plain`)."""
    lines = [[_cell(name) for name in table.columns], ["---"] * table.shape[1]]
    lines += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A value as a cell of a Markdown table: on one line, with escaped bars."""
    return _plain(" ".join(str(value).split())).replace("|", "\\|")


def _plain(text: str) -> str:
    """Escape what Markdown would read as mathematics or HTML, except between backquotes."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"[\\$]|<(?=\S)", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


def _section(table: Table) -> str:
    """A table below its title and note; a long table is hidden behind a summary."""
    body = []
    for heading, block in table.shown.items():
        if heading:
            body.append(f"**{_plain(heading)}**")
        body.append(markdown(block))
    if sum(len(block) for block in table.shown.values()) > _LONG:
        body = ["<details><summary>Show the table</summary>", *body, "</details>"]
    source = f"Numbers: [tables/{table.name}.csv](tables/{table.name}.csv)."
    return "\n\n".join([f"## {_plain(table.title)}", _plain(table.note), *body, source])


def _write_csv(path: Path, numbers: pd.DataFrame) -> None:
    text = numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    storage.write_text(path, text)


def write_figure(folder: Path, picture: Picture) -> str:
    """Save a figure as PNG and as SVG, without the date, so that equal figures give equal files.

    Returns:
        The letters that no font of this machine has.
    """
    with printing():
        files, missing = lettering.save(picture.draw(), svg={"metadata": {"Date": None}}, png={})
    for kind, data in files.items():
        with storage.replacing(folder / f"{picture.name}.{kind}") as temporary:
            temporary.write_bytes(data)
    return missing
