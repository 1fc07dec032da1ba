"""Standard streams that a command can rely on, however it was started."""

import io
import os
import sys


def prepare() -> None:
    r"""Open the streams that are closed (`>&-`), and make the others accept any text.

    The system would give a closed stream's number to the next file that is opened, and printed text
    would end up in that file. Characters that the terminal's encoding lacks are printed as `\u…`. A
    closed standard input stays None; the code that reads it reports that.
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
