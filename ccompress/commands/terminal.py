"""Tables of text that fit a width."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence

_GAP = "  "
_LONGEST = 40  # characters of a cell


def width() -> int | None:
    """The columns of the terminal that standard output is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str) -> str:
    """A text with its end, where file names differ, if it is too long for a cell."""
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def fitted(
    columns: Mapping[str, Sequence[str]], width: int | None, first_to_go: Sequence[str]
) -> tuple[str, list[str]]:
    """Columns of cells side by side under their names, and the names of those left out.

    A name goes on in the next line where its cells are narrower. Columns go in the order of
    `first_to_go` until the rest fit; those it does not name stay.
    """
    shown = {name: _column(name, cells) for name, cells in columns.items()}
    gone = []
    for name in first_to_go:
        if width is None or sum(len(c[0]) + len(_GAP) for c in shown.values()) - len(_GAP) <= width:
            break
        if shown.pop(name, None):
            gone.append(name)
    height = max(len(lines) for lines in shown.values())
    # Names end above their first cell.
    whole = [[" " * len(lines[0])] * (height - len(lines)) + lines for lines in shown.values()]
    return "\n".join(_GAP.join(line).rstrip() for line in zip(*whole, strict=True)), gone


def _column(name: str, cells: Sequence[str]) -> list[str]:
    """The lines of a column, all of one width: its name, then its cells."""
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
