"""Tables of texts as people have them: CSV of any spreadsheet, TSV, JSON; also gzipped."""

import csv
import functools
import gzip
import io
import itertools
import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ccompress.data.base import parse_json, read_bytes
from ccompress.errors import InputError

logger = logging.getLogger(__name__)

# The ends of names that tell a form; each may be followed by .gz.
FORMS = (".csv", ".tsv", ".json", ".jsonl")
DELIMITERS = (",", ";", "\t", "|")

_NAMED = 5  # rows in a message
_WINDOWS = "Windows-1252"
_MOST_FOREIGN = 0.2  # share of the bytes that are no ASCII
_MARK = "\ufeff"  # Excel's, at the head of UTF-8
_SEPARATOR = "sep="  # Excel's line before the header that names the delimiter


class Row(list[tuple[str, Any]]):
    """The names and values of a row as they stand: a name may be there twice."""


def rows(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a table, each with the line of the file that it begins on.

    The end of a file's name tells its form: `.csv` or `.tsv`, `.json` (a list of objects) or
    `.jsonl` (an object a line), each also gzipped with `.gz` after it. The delimiter of a `.csv` or
    `.tsv` is the one that its `sep=` line names, or else the one that cuts its header into most
    columns. Without a header the columns are called 1, 2 and so on. An object of a `.json` is
    counted by its place in the list, from 1.

    Args:
        path: The file, in UTF-8, or in UTF-16 with a mark at its head (Excel's "Unicode text"); a
            `.csv` or `.tsv` also in Windows-1252, which is said.
        delimiter: What parts the columns of a `.csv` or `.tsv`; None recognises it.

    Raises:
        InputError: The file cannot be read, or is of no known form.
    """
    form = form_of(path)
    text = _text(path)
    if form == ".json":
        return _json_list(text, path)
    if form == ".jsonl":
        return _json_lines(text, path)
    return _delimited(text, path, delimiter)


def form_of(path: Path) -> str:
    """The end of a file's name that tells its form.

    Raises:
        InputError: It tells none.
    """
    name = path.name.lower().removesuffix(".gz")
    if is_table(path):
        return f".{name.rpartition('.')[2]}"
    if name.endswith((".xls", ".xlsx", ".ods")):
        raise InputError(f"{path} is a spreadsheet; save it as CSV (Excel: CSV UTF-8)")
    raise InputError(
        f"{path} must end in {', '.join(FORMS)}, which tells its form, or in these and .gz"
    )


def is_table(path: Path) -> bool:
    """Whether a file's name tells a form of table."""
    return path.name.lower().removesuffix(".gz").endswith(FORMS)


def check_delimiter(delimiter: str | None, option: str) -> None:
    """Refuse what can part no columns.

    Raises:
        InputError: It is no single character, or one that cannot be it; names the option.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InputError(f"{option}={delimiter!r}: it is one character, such as ';'")


def place(path: Path, number: int) -> str:
    """Where a row stands, as errors name it, by the number that `rows` gives it."""
    return f"{path} {'entry' if form_of(path) == '.json' else 'line'} {number}"


def places(path: Path, numbers: Sequence[int]) -> str:
    """Where several rows stand in a file: `line 4`, or `lines 4, 7, 9, … (12 in all)`."""
    word = "entry" if form_of(path) == ".json" else "line"
    if len(numbers) == 1:
        return f"{word} {numbers[0]}"
    word = "entries" if word == "entry" else "lines"
    first = ", ".join(map(str, numbers[:_NAMED]))
    return f"{word} {first}" + f", … ({len(numbers)} in all)" * (len(numbers) > _NAMED)


def _text(path: Path) -> str:
    """The contents of a file, without marks of its encoding."""
    contents = read_bytes(path)
    if path.suffix.lower() == ".gz":
        try:
            contents = gzip.decompress(contents)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} is no whole gzip file: {error}") from error
    encoding = "UTF-16" if contents[:2] in (b"\xff\xfe", b"\xfe\xff") else "UTF-8"
    if encoding == "UTF-8" and form_of(path) in (".csv", ".tsv") and _is_windows_1252(contents):
        _tell_encoding(path)
        return contents.decode(_WINDOWS)
    try:
        return contents.decode(encoding).removeprefix(_MARK)
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} is not {encoding} (line {line}); save it as UTF-8 (in Excel as CSV UTF-8; "
            "elsewhere, if it is Windows-1252: iconv -f WINDOWS-1252 -t UTF-8)"
        ) from error


def _is_windows_1252(contents: bytes) -> bool:
    """Whether bytes are no UTF-8, but can be text of Western Europe as Excel saves it.

    Nothing that makes a letter in UTF-8 may be among them, since then it is UTF-8 that was damaged,
    and most letters must be those of ASCII, as in any such language.
    """
    if contents.isascii() or b"\0" in contents:
        return False
    read = contents.decode("UTF-8", "ignore")
    foreign = sum(byte > 127 for byte in contents)
    if not read.isascii() or foreign > _MOST_FOREIGN * len(contents):
        return False
    try:
        contents.decode(_WINDOWS)
    except UnicodeDecodeError:
        return False
    return True


@functools.cache
def _tell_encoding(path: Path) -> None:
    """Say once that a file is no UTF-8."""
    logger.warning(
        f"{path} is no UTF-8 and is read as Windows-1252; if its letters come out wrong, save it "
        "as UTF-8"
    )


def _delimited(text: str, path: Path, delimiter: str | None) -> Iterator[tuple[int, Row]]:
    """The line that each row after the header begins on, and the row."""
    skipped = 0
    first = text.partition("\n")[0].strip().strip('"')
    if first.lower().startswith(_SEPARATOR):
        delimiter = delimiter or first[len(_SEPARATOR) :] or None
        text, skipped = text.partition("\n")[2], 1
    delimiter = delimiter or _recognised(text, path)
    quotes = delimiter != "\t" or _quotes(text)
    try:
        numbered = list(_parsed(text, delimiter, quotes))
    except _Unreadable as error:
        raise InputError(f"{path} line {error.line + skipped} cannot be read: {error}") from error
    if not numbered:
        raise InputError(f"{path} is empty; its first line must name the columns")
    _, header = numbered[0]
    if _is_headless([row for _, row in numbered]):
        header = [str(number) for number, _ in enumerate(header, start=1)]
    else:
        header = [name.strip() for name in header]
        del numbered[0]
    for line, row in numbered:
        if len(row) != len(header):
            raise InputError(
                f"{path} line {line + skipped} has {len(row)} fields where the header has"
                f" {len(header)}; {_mend(delimiter, quotes)}"
            )
        yield line + skipped, Row(zip(header, row, strict=True))


class _Unreadable(Exception):
    """What is wrong with the quotation marks of a file, and the line."""

    def __init__(self, error: csv.Error, line: int) -> None:
        super().__init__(str(error))
        self.line = line


def _parsed(text: str, delimiter: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it begins on."""
    # A text may be longer than the 131,072 characters that the library stops at.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,  # a quotation mark that nothing closes is an error, not a text up to the end
    )
    end = 0
    try:
        for row in reader:
            line, end = end + 1, reader.line_num
            if row:
                yield line, row
    except csv.Error as error:
        raise _Unreadable(error, reader.line_num) from error


def _mend(delimiter: str, quotes: bool) -> str:
    if not quotes:
        return "texts with tabs or line breaks go into a .csv or .jsonl file"
    return (
        f"a field that holds {delimiter!r} must be quoted, and dataset.delimiter= names another"
        " character that parts the columns"
    )


def _recognised(text: str, path: Path) -> str:
    """The delimiter that cuts the first line into most columns; the usual one, if none does."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    usual = "\t" if form_of(path) == ".tsv" else ","

    def columns(delimiter: str) -> int:
        return len(next(csv.reader([first], delimiter=delimiter), []))

    return max([usual, *DELIMITERS], key=columns)


def _quotes(text: str) -> bool:
    """Whether quotation marks of tab-separated lines quote, and are not part of the text.

    A mark at the head of a text would swallow the lines up to the next one. So marks quote only
    where each that opens a field is closed at its end, and where the lines are no rows without it.
    """
    try:
        rows = [row for _, row in _parsed(text, "\t", quotes=True)]
    except _Unreadable:
        return False
    literal = [row for _, row in _parsed(text, "\t", quotes=False)]
    regular = len({len(row) for row in literal}) == 1
    return len({len(row) for row in rows}) == 1 and (len(rows) == len(literal) or not regular)


def _is_headless(rows: list[list[str]]) -> bool:
    """Whether the first row is one like the others: a value of its is one of its column's.

    Twice or more often, as a label is. A header that stands again in the middle is still one.
    """
    first, *others = rows
    if first in others:
        return False
    columns = zip(first, itertools.zip_longest(*others), strict=False)
    return any(name.strip() and column.count(name) > 1 for name, column in columns)


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    """The number and the object of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path} line {number}"
            yield number, _object(parse_json(line, where, Row), where)


def _json_list(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    """The place and the object of every entry of a list."""
    entries = parse_json(text, str(path), Row)
    if isinstance(entries, Row) or not isinstance(entries, list):
        raise InputError(f"{path} is not a list of objects; an object a line goes into a .jsonl")
    for number, entry in enumerate(entries, start=1):
        yield number, _object(entry, f"{path} entry {number}")


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, Row):
        raise InputError(f'{where} is not a JSON object such as  {{"text": ..., "label": ...}}')
    return value
