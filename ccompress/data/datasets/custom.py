"""A user's own labelled texts, from CSV, TSV or JSON Lines files."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ccompress.data.base import (
    Dataset,
    Examples,
    Splits,
    examples_from,
    hold_out,
    parse_json,
    read_text,
)
from ccompress.data.text import tokenizers
from ccompress.errors import InputError


@dataclass(kw_only=True)
class Custom(Dataset):
    """Texts and labels from files of one's own, in UTF-8.

    The end of a file's name tells its form: `.csv` or `.tsv`, with a header line (in `.tsv` a
    quotation mark is part of the text, it quotes nothing), or `.jsonl`, an object a line.

    Attributes:
        train: Training file.
        test: Test file.
        dev: Dev file; without one, a tenth of train becomes dev.
        text: Column (or key) of the text.
        label: Column (or key) of the label.
    """

    train: str
    test: str
    dev: str | None = None
    text: str = "text"
    label: str = "label"

    def files(self) -> dict[str, Path]:
        """Return the named files, by option."""
        named = {"train": self.train, "dev": self.dev, "test": self.test}
        return {option: Path(path).expanduser() for option, path in named.items() if path}

    def load(self, root: Path) -> Splits:
        """Read the files (nothing is read from the data root); see `Dataset.load`."""
        read = {option: self._read(path) for option, path in self.files().items()}
        train, dev = (read["train"], read["dev"]) if self.dev else hold_out(read["train"])
        return Splits(train, dev, read["test"])

    def _read(self, path: Path) -> Examples:
        columns = {"dataset.text": self.text, "dataset.label": self.label}
        lines: list[int] = []

        def pairs() -> Iterator[tuple[str, str]]:
            for row in labelled(path, columns):
                lines.append(row.line)
                yield row.text, row.label

        read = examples_from(pairs(), tokenizers.get(self.tokenizer))
        return Examples(read.tokens, read.labels, path, lines)


class Labelled(NamedTuple):
    """A text with its label, and the line of the file that it begins on."""

    text: str
    label: str
    line: int


class _Row(list[tuple[str, Any]]):
    """The names and values of a line as they stand: a name may be there twice."""


def labelled(path: Path, columns: Mapping[str, str]) -> Iterator[Labelled]:
    """The texts and labels of a file in one of the forms of `Custom`.

    A text or a label is a string, or in JSON Lines a number, `true` or `false`, which stand for the
    text that one writes for them.

    Args:
        path: The file.
        columns: The column of the text and that of the label, each by the option that names it.

    Raises:
        InputError: The file cannot be read or is of no known form, lacks a column or has it twice,
            or has a value in it that is empty or no text.
    """
    if path.suffix.lower() not in _FORMS:
        raise InputError(f"{path} must end in {', '.join(_FORMS)}, which tells its form")
    for line, row in _FORMS[path.suffix.lower()](path):
        text, label = (
            _value(row, column, option, f"{path} line {line}") for option, column in columns.items()
        )
        yield Labelled(text, label, line)


def _value(row: _Row, column: str, option: str, where: str) -> str:
    """The value of a column as text, stripped of white space around it."""
    values = [value for name, value in row if name == column]
    if not values:
        names = ", ".join(repr(name) for name, _ in row)
        raise InputError(
            f"{where} has no column {column!r}, only {names}; name the right one with {option}="
        )
    if len(values) > 1:
        raise InputError(
            f"{where} has {len(values)} columns named {column!r}; give each a name of its own"
        )
    (value,) = values
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        value = json.dumps(value)  # labels may be numbers, `true` or `false`
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where} has an empty {column!r}; fill it in or leave the line out")
    if not isinstance(value, str):
        raise InputError(
            f"{where}: {column!r} is {_kind(value)}; it must be a string or a finite number"
        )
    if not _is_unicode(value):
        raise InputError(
            f"{where}: {column!r} holds half of a surrogate pair, such as \\ud83d, which is no"
            " character; mend it or leave the line out"
        )
    return value.strip()


def _kind(value: Any) -> str:
    """What JSON calls a value that is no text."""
    if isinstance(value, float):
        return f"the number {json.dumps(value)}"
    return "an object" if isinstance(value, _Row) else "a list"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _CommaSeparated(csv.excel):
    strict = True  # a quotation mark that nothing closes is an error, not a text up to the end


class _TabSeparated(csv.excel_tab):
    # A stray quotation mark at the head of a field would swallow all lines up to the next one.
    quoting = csv.QUOTE_NONE


def _delimited(path: Path, *, dialect: type[csv.Dialect]) -> Iterator[tuple[int, _Row]]:
    """The line that each row after the header begins on, and the row."""
    text = read_text(path).removeprefix("\ufeff")  # Excel's mark at the head of UTF-8
    # A text may be longer than the 131,072 characters that the library stops at.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), dialect)
    header = None
    end = 0
    try:
        for row in reader:
            line, end = end + 1, reader.line_num
            if not row:
                continue
            if header is None:
                header = row
                continue
            if len(row) != len(header):
                literal = dialect.quoting == csv.QUOTE_NONE
                mend = (
                    "texts with tabs or line breaks go into a .csv or .jsonl file"
                    if literal
                    else f"a field that holds {dialect.delimiter!r} must be quoted"
                )
                raise InputError(
                    f"{path} line {line} has {len(row)} fields where the header has {len(header)};"
                    f" {mend}"
                )
            yield line, _Row(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} cannot be read: {error}") from error
    if header is None:
        raise InputError(f"{path} is empty; its first line must name the columns")


def _json_lines(path: Path) -> Iterator[tuple[int, _Row]]:
    """The number and the object of every line that is not blank."""
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").split("\n"), start=1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        row = parse_json(line, where, _Row)
        if not isinstance(row, _Row):
            raise InputError(f'{where} is not a JSON object such as  {{"text": ..., "label": ...}}')
        yield number, row


_FORMS: dict[str, Callable[[Path], Iterator[tuple[int, _Row]]]] = {
    ".csv": partial(_delimited, dialect=_CommaSeparated),
    ".tsv": partial(_delimited, dialect=_TabSeparated),
    ".jsonl": _json_lines,
}
