"""A user's own labelled texts, from files."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ccompress.data import table_file
from ccompress.data.base import Columns, Dataset, Examples, Splits, examples_from, hold_out
from ccompress.data.table_file import Row
from ccompress.data.text import tokenizers
from ccompress.errors import InputError
from ccompress.storage import expanded

_TEST = 0.2  # share of train that becomes test where no file is named


@dataclass(kw_only=True)
class Custom(Dataset):
    """Texts and labels from files of one's own, in one of the forms of `table_file.rows`.

    Attributes:
        train: Training file.
        test: Test file; without one, a fifth of train becomes test.
        dev: Dev file; without one, a tenth of train becomes dev, or a fifth of what is left of it
            where a fifth has become test.
        text: Column (or key) of the text.
        label: Column (or key) of the label.
        delimiter: What parts the columns of a `.csv` or `.tsv`; None recognises it.
    """

    train: str
    test: str | None = None
    dev: str | None = None
    text: str = "text"
    label: str = "label"
    delimiter: str | None = None

    def __post_init__(self) -> None:
        table_file.check_delimiter(self.delimiter, "dataset.delimiter")

    @property
    def columns(self) -> Columns:
        """See `Dataset.columns`."""
        return Columns(self.text, self.label)

    def files(self) -> dict[str, Path]:
        """Return the named files, by option."""
        named = {"train": self.train, "dev": self.dev, "test": self.test}
        return {option: expanded(path) for option, path in named.items() if path}

    def load(self, root: Path) -> Splits:
        """Read the files (nothing is read from the data root); see `Dataset.load`."""
        read = {option: self._read(path) for option, path in self.files().items()}
        wrong = [
            gaps(
                path,
                self.columns,
                [line for line, tokens in zip(part.lines, part.tokens, strict=True) if not tokens],
                [line for line, label in zip(part.lines, part.labels, strict=True) if not label],
            )
            for path, part in zip(self.files().values(), read.values(), strict=True)
        ]
        refuse_gaps(wrong)
        train, share = read["train"], 0.1
        if (test := read.get("test")) is None:
            share = _TEST
            train, test = self._hold_out(train, share, "test")
        if (dev := read.get("dev")) is None:
            train, dev = self._hold_out(train, share, "dev")
        return Splits(train, dev, test)

    def _read(self, path: Path) -> Examples:
        columns = {"dataset.text": self.text, "dataset.label": self.label}
        lines: list[int] = []

        def pairs() -> Iterator[tuple[str, str]]:
            for row in labelled(path, columns, self.delimiter):
                lines.append(row.line)
                yield row.text, row.label

        read = examples_from(pairs(), tokenizers.get(self.tokenizer))
        return Examples(read.tokens, read.labels, path, lines)

    def _hold_out(self, examples: Examples, share: float, split: str) -> tuple[Examples, Examples]:
        """As `hold_out`; refused where there is nothing to hold out."""
        rest, held = hold_out(examples, share)
        if len(set(examples.labels)) > 1 and not len(held):
            raise InputError(
                f"{examples.path}: each of the {len(rest):,} labels in {self.label!r} has one text"
                f" only, so that none is left for {split}; name another column with dataset.label=,"
                f" or a file with dataset.{split}="
            )
        return rest, held


class Labelled(NamedTuple):
    """A text with its label, and the line of the file that it begins on."""

    text: str
    label: str
    line: int


def labelled(
    path: Path, columns: Mapping[str, str], delimiter: str | None = None
) -> Iterator[Labelled]:
    """The texts and labels of a file in one of the forms of `table_file.rows`, empty ones included.

    A text or a label is a string, or in JSON a number, `true` or `false`, which stand for the
    text that one writes for them. Rows without any value, as spreadsheets leave them at the end,
    are left out.

    Args:
        path: The file.
        columns: The column of the text and that of the label, each by the option that names it.
        delimiter: What parts the columns of a `.csv` or `.tsv`; None recognises it.

    Raises:
        InputError: The file cannot be read or is of no known form, lacks a column or has it twice,
            or has a value in it that is no text.
    """
    for line, row in table_file.rows(path, delimiter):
        if row and all(value is None or not str(value).strip() for _, value in row):
            continue
        where = table_file.place(path, line)
        text, label = (_value(row, column, option, where) for option, column in columns.items())
        yield Labelled(text, label, line)


def gaps(path: Path, columns: Columns, wordless: Sequence[int], unlabelled: Sequence[int]) -> str:
    """A sentence about rows of a file that have no words or no label; empty if there are none.

    Args:
        path: The file.
        columns: Its columns.
        wordless: The lines of the rows without words.
        unlabelled: The lines of the rows without a label.
    """
    kinds = (
        (f"without words in {columns.text!r}", wordless),
        (f"without a value in {columns.label!r}", unlabelled),
    )
    named = [f"{what} ({table_file.places(path, lines)})" for what, lines in kinds if lines]
    return f"{path} has rows {' and '.join(named)}" if named else ""


def refuse_gaps(sentences: Sequence[str]) -> None:
    """Refuse what `gaps` says of any file, all of it in one message.

    Raises:
        InputError: A sentence is not empty.
    """
    if said := "; ".join(filter(None, sentences)):
        raise InputError(f"{said}: fill them in or leave these rows out")


def texts(path: Path, column: str, option: str, delimiter: str | None = None) -> Iterator[str]:
    """The values of a column of such a file, empty ones included; errors as in `labelled`."""
    for line, row in table_file.rows(path, delimiter):
        yield _value(row, column, option, table_file.place(path, line))


def _value(row: Row, column: str, option: str, where: str) -> str:
    """The value of a column as text, stripped of white space around it; of `null` empty."""
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
    if value is None:
        return ""
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
    return "an object" if isinstance(value, Row) else "a list"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
