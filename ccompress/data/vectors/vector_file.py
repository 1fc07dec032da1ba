"""Text files of word vectors, in GloVe's format or word2vec's.

They are read here and not by `torchtext.vocab.Vectors`, which on a good file gives the same numbers
(a test holds the two together) but drops words that are not UTF-8 and leaves rows of zeros for
them, cannot read two dimensions, names no line of a bad file, draws a progress bar of its own,
stores a pickle keyed by the file's name alone, and turns off TLS verification for the process.
"""

import gzip
import logging
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ccompress.errors import InputError

logger = logging.getLogger(__name__)


def read(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Read a text file of word vectors: on each line a word and d numbers, separated by spaces.

    GloVe's format, or word2vec's, whose first line holds the number of words and d; plain or gzip.
    Of a word that stands on several lines the first counts.

    Returns:
        The n words in the file's order, and their vectors, (n, d) float32.

    Raises:
        InputError: The file is empty, truncated or binary, or a line (named by its number) has
            another number of columns than the first, or something else than finite numbers.
    """
    logger.info("reading %s, once; later runs find it in the cache", path)
    words: list[str] = []
    values = array("f")
    dim = promised = None
    number = 0
    try:
        for number, line in enumerate(_lines(path), start=1):
            word, *fields = line.rstrip().split(b" ")
            if number == 1 and len(fields) == 1 and word.isdigit() and fields[0].isdigit():
                promised, dim = int(word), int(fields[0])
                continue
            dim = len(fields) if dim is None else dim
            if len(fields) != dim or not dim or not word:
                raise _bad_line(path, number, line, f"{len(fields)} numbers after the word", dim)
            try:
                words.append(word.decode())
                values.extend(map(float, fields))
            except ValueError as error:
                raise _bad_line(path, number, line, str(error), dim) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is a truncated or damaged gzip file (line {number + 1} cannot be read); copy"
            " or fetch it again"
        ) from error
    if not words or dim is None:
        raise InputError(f"{path} is empty; it should hold a word and its numbers on each line")
    if promised not in (None, len(words)):
        raise InputError(
            f"{path} promises {promised} words on line 1 but holds {len(words)}; it may be"
            " truncated: copy or fetch it again"
        )
    matrix = np.frombuffer(values, np.float32).reshape(-1, dim)
    unbounded = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if unbounded.size:
        line_number = int(unbounded[0]) + (1 if promised is None else 2)
        raise InputError(f"{path}, line {line_number}: a number is not finite; mend or remove it")
    first = {word: row for row, word in reversed(list(enumerate(words)))}
    if len(first) < len(words):
        rows = sorted(first.values())
        words, matrix = [words[row] for row in rows], matrix[rows]
    return words, matrix


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, gzip or not, split at line feeds only: words may hold other breaks."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as lines:
        yield from lines


def _bad_line(path: Path, number: int, line: bytes, found: str, dim: int | None) -> InputError:
    """The error for a line that is not a word and `dim` numbers."""
    try:
        binary = "\0" in line.decode()
    except UnicodeDecodeError:
        binary = True
    if binary:
        return InputError(
            f"{path}, line {number}: not UTF-8 text; vectors are read from text, plain or gzip,"
            " with a word and its numbers on each line"
        )
    truncated = "" if line.endswith(b"\n") else ", and the file ends there: is it truncated?"
    return InputError(
        f"{path}, line {number}: {found}; it should be a word and"
        f" {dim or 'its'} numbers separated by single spaces{truncated}"
    )
