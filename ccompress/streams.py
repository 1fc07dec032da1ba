"""The standard streams as a command needs them, however it was started."""

import io
import os
import sys


def prepare() -> None:
    r"""Open the streams that are closed (`>&-`), and let the others print any text.

    A closed stream's number would be given to the next file that is opened, which would then hold
    what is printed. What a terminal's encoding lacks is printed as `\u…`. A closed standard input
    stays None: a reader of it says so.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
