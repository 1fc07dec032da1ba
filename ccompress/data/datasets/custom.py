"""A user's own labelled texts, from CSV, TSV or JSON Lines files."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
        return examples_from(labelled(path, columns), tokenizers.get(self.tokenizer))


def labelled(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The (text, label) pairs of a file in one of the forms of `Custom`.

    Args:
        path: The file.
        columns: The column of the text and that of the label, each by the option that names it.

    Raises:
        InputError: The file cannot be read or is of no known form, lacks a column, or has an empty
            value in one.
    """
    if path.suffix.lower() not in _FORMS:
        raise InputError(f"{path} must end in {', '.join(_FORMS)}, which tells its form")
    for where, row in _FORMS[path.suffix.lower()](path):
        text, label = (_value(row, column, option, where) for option, column in columns.items())
        yield text, label


def _value(row: Mapping[str, Any], column: str, option: str, where: str) -> str:
    """The value of a column as text, stripped of white space around it."""
    if column not in row:
        raise InputError(
            f"{where} has no column {column!r}, only {', '.join(map(repr, row))}; name the right "
            f"one with {option}="
        )
    value = row[column]
    if isinstance(value, bool | int | float):
        value = json.dumps(value)  # labels may be numbers
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} has an empty {column!r}; fill it in or leave the line out")
    return value.strip()


class _CommaSeparated(csv.excel):
    strict = True  # a quotation mark that nothing closes is an error, not a text up to the end


class _TabSeparated(csv.excel_tab):
    # A stray quotation mark at the head of a field would swallow all lines up to the next one.
    quoting = csv.QUOTE_NONE


def _delimited(
    path: Path, *, dialect: type[csv.Dialect]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where it stands and the fields by column, for every line after the header."""
    text = read_text(path).removeprefix("\ufeff")  # Excel's mark at the head of UTF-8
    reader = csv.reader(io.StringIO(text, newline=""), dialect)
    header = None
    try:
        for row in reader:
            where = f"{path} line {reader.line_num}"
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
                    f"{where} has {len(row)} fields where the header has {len(header)}; {mend}"
                )
            yield where, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} cannot be read: {error}") from error
    if header is None:
        raise InputError(f"{path} is empty; its first line must name the columns")


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where it stands and the object, for every line that is not blank."""
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").split("\n"), start=1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise InputError(f'{where} is not a JSON object such as  {{"text": ..., "label": ...}}')
        yield where, row


_FORMS: dict[str, Callable[[Path], Iterator[tuple[str, Mapping[str, Any]]]]] = {
    ".csv": partial(_delimited, dialect=_CommaSeparated),
    ".tsv": partial(_delimited, dialect=_TabSeparated),
    ".jsonl": _json_lines,
}
