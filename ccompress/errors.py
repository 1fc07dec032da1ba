"""The one kind of error that the user can mend, and what helps to mend it."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave is wrong: an option, a file, a folder.

    The message is one line and names what was wrong, where, and what would be right. The command
    line prints it without a traceback and exits with code 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
