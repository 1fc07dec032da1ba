"""Standard streams that a command can rely on, however it was started."""

import io
import os
import sys
from typing import Any, TextIO


class _Outliving(io.FileIO):
    """An output whose reader may end; what that reader would not read is dropped."""

    def write(self, data: Any) -> int:
        """Write to the reader, or to nowhere after the reader has ended."""
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return super().write(data)


def prepare(*, outlive_reader: bool) -> None:
    r"""Open the streams that are closed (`>&-`), and make the others accept any text.

    The system would give a closed stream's number to the next file that is opened, and printed text
    would end up in that file. Characters that the terminal's encoding lacks are printed as `\u…`. A
    closed standard input stays None; the code that reads it reports that.

    Args:
        outlive_reader: Whether the command goes on if the reader of standard output ends, as in
            `ccompress | head`. Otherwise printing raises a BrokenPipeError then. Standard error
            never raises it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = _outliving(sys.stderr, line_buffering=True)
    if outlive_reader:
        sys.stdout = _outliving(sys.stdout, line_buffering=sys.stdout.isatty())


def _outliving(stream: TextIO, *, line_buffering: bool) -> io.TextIOWrapper:
    """A stream to the same file that outlives its reader."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Outliving(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=line_buffering,
    )
