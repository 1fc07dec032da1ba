"""Text files of word vectors, in GloVe's format or word2vec's.

They are read here and not by `torchtext.vocab.Vectors`, which on a good file gives the same numbers
(a test holds the two together) but drops words that are not UTF-8 and leaves rows of zeros for
them, cannot read two dimensions, names no line of a bad file, draws a progress bar of its own,
stores a pickle keyed by the file's name alone, and turns off TLS verification for the process.
"""

import codecs
import gzip
import io
import logging
import re
import zlib
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ccompress import cores
from ccompress.data.vectors import plain_lines
from ccompress.errors import InputError

logger = logging.getLogger(__name__)

# Raised whenever a change alters what is read from the same file.
FORMAT = 2

# From so many lines at the head of a file without a header, the dimension is decided.
_FIRST_LINES = 100
_DECIMAL = re.compile(rb"(?<!\S)[-+]?\d*\.\d+(?:[eE][-+]?\d+)?(?!\S)")

# Bytes that a thread parses at a time. Four threads are as fast as a disk, or as unpacking.
_BLOCK_BYTES = 8 << 20
_MOST_THREADS = 4
# From so many bytes on, the time that pyarrow takes to load is won back.
_PLAIN_BYTES = 1 << 20

_Line = tuple[int, bytes]  # its number, and the line
_Block = tuple[int, bytes]  # the number of its first line, and whole lines
_Header = tuple[int, int]  # the number of words, and the dimension
_Words = list[str | None]  # None: the word is not UTF-8
_Matrix = npt.NDArray[np.float32]


def read(path: Path) -> tuple[list[str], _Matrix]:
    """Read a text file of word vectors: on each line a word and d numbers; plain or gzip.

    GloVe's format, or word2vec's, whose first line holds the number of words and d. Without such a
    header, d is the number of numbers that most of the first lines end with. White space parts the
    numbers, a tab as well as a space. The last d fields of a line are its numbers, and all that
    stands before them is the word: it may hold spaces, as in phrases, or be a space itself. Of a
    word that stands on several lines the first counts. A word that is not UTF-8 matches no text:
    it is left out, with a warning. So is a header's count above the number of lines: many a file
    on the web has one, and so has the head of a file.

    Returns:
        The n words in the file's order, and their vectors, (n, d) float32.

    Raises:
        InputError: The file is empty, a damaged gzip file or binary, or a line (named by its
            number) has no word, fewer than d numbers, many more, or one that is not finite.
    """
    logger.info("reading %s, once; later runs find it in the cache", path)
    blocks = _blocks(path)
    head, first = _head(blocks)
    header = _header(first)
    dim = header[1] if header else _dimension(first)
    if header:
        head[0] = (2, head[0][1].partition(b"\n")[2])
    words, matrix = _joined(_in_order(partial(_parsed, path, dim), chain(head, blocks)), dim)
    if not words:
        raise InputError(f"{path} is empty; it should hold a word and its numbers on each line")
    _check(path, words, matrix, header)
    return _distinct(words, matrix)


def _head(blocks: Iterator[_Block]) -> tuple[list[_Block], list[_Line]]:
    """The first blocks, and of them the first lines, from which the form is told."""
    head: list[_Block] = []
    for block in blocks:
        head.append(block)
        lines = list(islice(chain.from_iterable(map(_lines, head)), _FIRST_LINES))
        if len(lines) == _FIRST_LINES:
            return head, lines
    return head, list(chain.from_iterable(map(_lines, head)))


def _in_order(
    parse: Callable[[_Block], tuple[_Words, _Matrix]], blocks: Iterable[_Block]
) -> Iterator[tuple[_Words, _Matrix]]:
    """What `parse` gives for each block, several at a time."""
    threads = min(cores.available(), _MOST_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        begun = deque[Future[tuple[_Words, _Matrix]]]()
        for block in blocks:
            begun.append(pool.submit(parse, block))
            if len(begun) > threads:
                yield begun.popleft().result()
        for future in begun:
            yield future.result()


def _parsed(path: Path, dim: int, block: _Block) -> tuple[_Words, _Matrix]:
    """The words of a block's lines, and their vectors; see `read`."""
    _, contents = block
    if len(contents) >= _PLAIN_BYTES and dim > 0:
        plain = plain_lines.parse(contents, dim)
        if plain is not None:
            words, matrix = plain
            return [_decoded(word) for word in words], matrix
    return _parsed_by_line(path, dim, block)


def _parsed_by_line(path: Path, dim: int, block: _Block) -> tuple[_Words, _Matrix]:
    """As `_parsed`; takes ten times as long, takes every line, and names a bad one."""
    words: _Words = []
    values = array("f")
    for number, line in _lines(block):
        try:
            word, fields = _word_and_fields(line, dim)
            values.extend(map(float, fields))
        except ValueError as error:
            raise _bad_line(path, number, line, str(error), dim) from error
        words.append(_decoded(word))
    return words, np.frombuffer(values, np.float32).reshape(len(words), dim)


def _joined(parts: Iterable[tuple[_Words, _Matrix]], dim: int) -> tuple[_Words, _Matrix]:
    """The words and the vectors of all blocks."""
    words: _Words = []
    values = array("f")  # grows in place, where blocks kept for later would take as much again
    for some, matrix in parts:
        words += some
        values.frombytes(matrix.tobytes())
    return words, np.frombuffer(values, np.float32).reshape(len(words), dim)


def _check(path: Path, words: _Words, matrix: _Matrix, header: _Header | None) -> None:
    """Refuse numbers that are not finite; warn of words that are lacking."""
    first_line = 2 if header else 1
    unbounded = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if unbounded.size:
        line_number = int(unbounded[0]) + first_line
        raise InputError(f"{path}, line {line_number}: a number is not finite; mend or remove it")
    if header and header[0] > len(words):
        logger.warning(
            "%s promises %d words on line 1 but holds %d; if it is not meant to be a part of a"
            " file, copy or fetch it again",
            *(path, header[0], len(words)),
        )
    if None in words:
        logger.warning(
            "%s: words left out because they are not UTF-8: %d, the first on line %d",
            *(path, words.count(None), words.index(None) + first_line),
        )


def _blocks(path: Path) -> Iterator[_Block]:
    """The lines of a file, gzip or not, many at a time, without a byte order mark at its head."""
    number = 1
    for lines in _whole_lines(path):
        yield number, lines.removeprefix(codecs.BOM_UTF8) if number == 1 else lines
        number += lines.count(b"\n")


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The contents of a file, gzip or not, in pieces that end where a line ends."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    held = bytearray()
    lines = 0
    with gzip.open(path) if zipped else path.open("rb") as file:
        try:
            # What can be unpacked of a damaged file comes before the error.
            while piece := file.read1(_BLOCK_BYTES):
                held += piece
                end = held.rfind(b"\n") + 1
                if end and len(held) >= _BLOCK_BYTES:
                    lines += held.count(b"\n")
                    yield bytes(held[:end])
                    del held[:end]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            if end := held.rfind(b"\n") + 1:
                yield bytes(held[:end])
            damaged = lines + held.count(b"\n") + 1
            raise InputError(
                f"{path} is a truncated or damaged gzip file (line {damaged} cannot be read); copy"
                " or fetch it again"
            ) from error
        if held:
            yield bytes(held)


def _lines(block: _Block) -> Iterator[_Line]:
    """The numbered lines of a block; they end at line feeds only: words may hold other breaks."""
    number, contents = block
    return enumerate(io.BytesIO(contents), start=number)


def _header(first: list[_Line]) -> _Header | None:
    """What the first line tells, if it is a header of word2vec's."""
    line = first[0][1] if first else b""
    fields = line.split()
    word_is_blank = line[:1].isspace()
    if len(fields) == 2 and all(map(bytes.isdigit, fields)) and not word_is_blank:
        return int(fields[0]), int(fields[1])
    return None


def _dimension(first: list[_Line]) -> int:
    """How many numbers most of the first lines end with; of equally many, the earlier counts."""
    counts = Counter(_numbers_at_the_end(line) for _, line in first)
    return counts.most_common(1)[0][0] if counts else 0


def _numbers_at_the_end(line: bytes) -> int:
    """How many numbers a line ends with, its word not counted, which may be a number itself."""
    fields = line.split()
    count = sum(1 for _ in takewhile(_is_number, reversed(fields)))
    word_is_blank = line[:1].isspace()
    return count if word_is_blank else min(count, len(fields) - 1)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _word_and_fields(line: bytes, dim: int) -> tuple[bytes, list[bytes]]:
    """The word of a line and its last `dim` fields, which should be numbers.

    Raises:
        ValueError: Says what the line has in place of a word and `dim` numbers.
    """
    fields = line.rsplit(None, dim)
    if len(fields) > dim > 0:
        word = fields.pop(0)
    else:
        # Only white space stands before the fields, and its last character parts it from them.
        word = line[: len(line) - len(line.lstrip()) - 1] if line[:1].isspace() else b""
    if len(fields) != dim or not word:
        raise ValueError(f"{_numbers_at_the_end(line)} numbers after the word")
    # A word may end in a number, as in "web 2.0". Several are those of a longer vector, or of the
    # line before, whose end is lost.
    if len(_DECIMAL.findall(word)) > 1:
        raise ValueError(f"{len(line.split()) - 1} fields after the first")
    return word, fields


def _decoded(word: bytes) -> str | None:
    try:
        return word.decode()
    except UnicodeDecodeError:
        return None


def _distinct(words: _Words, matrix: _Matrix) -> tuple[list[str], _Matrix]:
    """The words that could be decoded, each once, and the first vector of each."""
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        if word is not None:
            rows.setdefault(word, row)
    return list(rows), matrix if len(rows) == len(words) else matrix[list(rows.values())]


def _bad_line(path: Path, number: int, line: bytes, fault: str, dim: int) -> InputError:
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
        f"{path}, line {number}: {fault}; it should be a word and {dim or 'its'} numbers,"
        f" with spaces between{truncated}"
    )
