"""`ccompress predict`: predict the labels of texts with the small model of a run."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from ccompress.commands.arguments import Arguments
from ccompress.commands.stored_model import add_delimiter, add_device, add_run, open_run
from ccompress.data import table_file
from ccompress.data.datasets import custom
from ccompress.errors import InputError

if TYPE_CHECKING:
    from ccompress.deployment.classifier import Classifier

_CHUNK = 1 << 20  # the largest number of bytes to read at once
_ROWS = 1000  # the number of table rows to predict at once


class Answer(NamedTuple):
    """A text with its predictions.

    Attributes:
        text: The text.
        probabilities: Label -> probability, most probable first; empty for a text without words.
    """

    text: str
    probabilities: dict[str, float]

    def columns(self, top: int, spec: str) -> list[str]:
        """`top` labels, each followed by its probability; empty strings if there are none."""
        words = [word for label, p in self.probabilities.items() for word in (label, f"{p:{spec}}")]
        return words + [""] * (2 * top - len(words))


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "predict",
        "Predicts the label of each text with the small model of a run, and its probability, as "
        "soon as the text arrives. A text without words has no label: empty columns, null in "
        "jsonl.",
    )
    add_run(parser)
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="texts in UTF-8, one a line (default, and -: standard input), or a table: "
        f"{', '.join(table_file.FORMS)}",
    )
    parser.add_argument(
        "--column",
        metavar="COLUMN",
        help="column of the text in a table (default: that of training)",
    )
    add_delimiter(parser)
    parser.add_argument(
        "--top",
        type=int,
        default=1,
        metavar="N",
        help="print the N most probable labels (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text: label, probability and text, with tabs between (default); csv: the same "
        "with a header; jsonl: an object a line",
    )
    add_device(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write the label and its probability for each text of a file or of standard input."""
    given = parser().read(arguments)
    if given.top < 1:
        raise InputError(f"--top {given.top}: give at least 1")
    table_file.check_delimiter(given.delimiter, "--delimiter")
    _, small = open_run(given, given.device)
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        # UTF-8 like the input, whatever the locale is. A terminal keeps its own encoding.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    top = min(given.top, len(small.labels))
    render = FORMATS[given.format]
    if given.format == "csv":
        sys.stdout.write(_csv_header(top))
    trained = small.columns.text if small.columns else "text"
    for texts in read(given.file, given.column, given.delimiter, trained):
        sys.stdout.write(render(classified(small, texts, top), top))
        sys.stdout.flush()
    return 0


def read(
    path: Path | None, column: str | None, delimiter: str | None = None, trained: str = "text"
) -> Iterator[list[str]]:
    """The texts of a file or of standard input, some at a time.

    Args:
        path: A table (`ccompress.data.table_file`), or a file whose lines are texts.
        column: The column of the text in a table; None: `trained`.
        delimiter: See `table_file.rows`.
        trained: The column of the text in the table that the model was trained on.

    Raises:
        InputError: The file cannot be read, has no such column, or is not a table although a column
            is named.
    """
    if path and table_file.is_table(path):
        rows = custom.texts(path, column or trained, "--column", delimiter)
        while texts := list(islice(rows, _ROWS)):
            yield texts
        return
    if column is not None:
        raise InputError(
            f"--column {column}: {path or 'standard input'} is read as a text a line; a table is a "
            f"FILE that ends in {', '.join(table_file.FORMS)}"
        )
    with opened(path) as stream:
        yield from blocks(stream, str(path or "standard input"))


def opened(path: Path | None) -> AbstractContextManager[BufferedIOBase]:
    """A file, or standard input, as bytes."""
    if path is None or str(path) == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed: give a file of sentences")
        return nullcontext(cast(BufferedIOBase, sys.stdin.buffer))
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def blocks(stream: BufferedIOBase, name: str) -> Iterator[list[str]]:
    """The lines of `stream` in batches of those that have arrived, so that no line waits.

    Raises:
        InputError: A line is not UTF-8; the lines before it have been yielded.
    """
    rest, number = b"", 0
    while chunk := stream.read1(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _decoded_lines(lines, name, number)
        number += len(lines)
    if rest:
        yield from _decoded_lines([rest], name, number)


def _decoded_lines(lines: Sequence[bytes], name: str, before: int) -> Iterator[list[str]]:
    """Lines as text, in one batch; if one is not UTF-8, those before it, and then the error.

    Args:
        lines: The lines.
        name: The file's name, for the error.
        before: The number of lines before these, for the error.
    """
    good: list[str] = []
    for number, line in enumerate(lines, start=before + 1):
        try:
            good.append(_decoded(line, name, number))
        except InputError:
            yield good
            raise
    yield good


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        # utf-8-sig only for the first line, where Excel and Notepad write a byte order mark
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} line {number} is not UTF-8: save it as UTF-8") from error


def classified(small: "Classifier", texts: Sequence[str], top: int) -> Iterator[Answer]:
    """Each text with its `top` most probable labels."""
    for text, prediction in zip(texts, small.predict(texts, top), strict=True):
        yield Answer(text, prediction.probabilities)


def _text(answers: Iterable[Answer], top: int) -> str:
    # A user's label or a text from a table may contain tabs and line breaks, which separate columns
    # and lines here.
    return "".join(
        "\t".join(" ".join(word.split()) for word in answer.columns(top, ".4f"))
        + f"\t{_one_line(answer.text)}\n"
        for answer in answers
    )


def _one_line(text: str) -> str:
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


def _csv(answers: Iterable[Answer], top: int) -> str:
    return _csv_lines([*answer.columns(top, ".6f"), answer.text] for answer in answers)


def _csv_header(top: int) -> str:
    numbers = ["", *(f"_{i}" for i in range(2, top + 1))]
    return _csv_lines([[f"{n}{i}" for i in numbers for n in ("label", "probability")] + ["text"]])


def _csv_lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _json_lines(answers: Iterable[Answer], top: int) -> str:
    return "".join(
        json.dumps(_object(answer, top), ensure_ascii=False) + "\n" for answer in answers
    )


def _object(answer: Answer, top: int) -> dict[str, object]:
    labels = [{"label": label, "probability": p} for label, p in answer.probabilities.items()]
    best = labels[0] if labels else {"label": None, "probability": None}
    return {**best, **({"top": labels} if top > 1 else {}), "text": answer.text}


FORMATS: dict[str, Callable[[Iterable[Answer], int], str]] = {
    "text": _text,
    "csv": _csv,
    "jsonl": _json_lines,
}
