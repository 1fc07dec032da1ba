"""`ccompress predict`: the labels of sentences, by the small model of a run."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ccompress.commands.stored_model import add_device, add_run, open_run
from ccompress.errors import InputError

if TYPE_CHECKING:
    from ccompress.deployment.model import Model

_CHUNK = 1 << 20  # bytes read at a time, if there are as many

Row = tuple[str, float, str]  # label, probability, sentence


def main(arguments: Sequence[str]) -> int:
    """Write the label and its probability for every line of a file or of standard input."""
    parser = argparse.ArgumentParser(
        prog="ccompress predict",
        description="The label of every sentence and its probability, as fast as they come.",
    )
    add_run(parser)
    add_device(parser)
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="sentences in UTF-8, one a line (default, and -: standard input)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text: label, probability and sentence, with tabs between (default); csv: the same "
        "with a header; jsonl: an object a line",
    )
    given = parser.parse_args(arguments)
    _, small = open_run(given, given.device)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the input, whatever the locale is
    rendered, header = FORMATS[given.format], HEADERS.get(given.format, "")
    sys.stdout.write(header)
    with opened(given.file) as stream:
        for lines in blocks(stream, str(given.file or "standard input")):
            sys.stdout.write(rendered(classified(small, lines)))
            sys.stdout.flush()
    return 0


def opened(path: Path | None) -> AbstractContextManager[BufferedIOBase]:
    """A file, or standard input, as bytes."""
    if path is None or str(path) == "-":
        return nullcontext(cast(BufferedIOBase, sys.stdin.buffer))
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def blocks(stream: BufferedIOBase, name: str) -> Iterator[list[str]]:
    """The lines of `stream`, as many at a time as have come: none waits for a later one.

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
    """`lines`, which come after `before` others, as text: all at once, if all of them are."""
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
        # -sig only at the head, where Excel and Notepad put their mark
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} line {number} is not UTF-8: save it as UTF-8") from error


def classified(small: "Model", texts: Sequence[str]) -> Iterator[Row]:
    """The most probable label of each text, its probability, and the text."""
    values, indices = small.probabilities(texts).max(1)
    labels = (small.labels[i] for i in indices.tolist())
    return zip(labels, values.tolist(), texts, strict=True)


def _text(rows: Iterable[Row]) -> str:
    # A label of a user's own may hold a tab or a line break, which part columns and lines here.
    return "".join(f"{' '.join(label.split())}\t{p:.4f}\t{text}\n" for label, p, text in rows)


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((label, f"{p:.6f}", sentence) for label, p, sentence in rows)
    return text.getvalue()


def _json_lines(rows: Iterable[Row]) -> str:
    objects = ({"label": label, "probability": p, "text": text} for label, p, text in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects)


FORMATS: dict[str, Callable[[Iterable[Row]], str]] = {
    "text": _text,
    "csv": _csv,
    "jsonl": _json_lines,
}
HEADERS = {"csv": "label,probability,text\n"}
