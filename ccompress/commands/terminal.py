"""Tables of text that fit the width of the terminal."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence

_GAP = "  "
_LONGEST = 40  # the largest number of characters in a cell


def width() -> int | None:
    """The width of the terminal in characters; None if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str) -> str:
    """A text; if it is too long for a cell, only its end, where file names usually differ."""
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def fitted(
    columns: Mapping[str, Sequence[str]], width: int | None, optional: Sequence[str]
) -> tuple[str, list[str]]:
    """A table that fits a width, and the names of the columns that had to be dropped.

    The name of a column is broken into several lines if its cells are narrower.

    Args:
        columns: Name -> cells.
        width: The width in characters; None: unlimited.
        optional: The columns that may be dropped, in this order, until the others fit.
    """
    shown = {name: _column(name, cells) for name, cells in columns.items()}
    dropped = []
    for name in optional:
        if width is None or sum(len(c[0]) + len(_GAP) for c in shown.values()) - len(_GAP) <= width:
            break
        if shown.pop(name, None):
            dropped.append(name)
    height = max(len(lines) for lines in shown.values())
    # Fill up shorter columns at the top, so that each name ends directly above its first cell.
    filled = [[" " * len(lines[0])] * (height - len(lines)) + lines for lines in shown.values()]
    return "\n".join(_GAP.join(line).rstrip() for line in zip(*filled, strict=True)), dropped


def _column(name: str, cells: Sequence[str]) -> list[str]:
    """The lines of a column, all of the same width: its name, then its cells."""
    pieces = re.findall(r".+?(?:[._|]|$)", name)
    wide = max(map(len, [*cells, *pieces]))
    head = [""]
    for piece in pieces:
        if len(head[-1]) + len(piece) > wide:
            head.append("")
        head[-1] += piece
    numbers = all(re.fullmatch(r"-?[\d.,]*( \w?B| %)?|—", cell) for cell in cells)
    place = str.rjust if numbers else str.ljust
    return [place(line, wide) for line in [*head, *cells]]
