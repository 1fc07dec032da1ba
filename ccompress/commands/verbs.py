"""The verbs and the modules that execute them."""

import importlib
from collections.abc import Sequence
from typing import Protocol

from ccompress.commands.arguments import Arguments
from ccompress.errors import InputError, nearest


class Verb(Protocol):
    """The functions in the module of a verb."""

    def parser(self) -> Arguments:
        """The arguments of the verb."""

    def main(self, arguments: Sequence[str]) -> int:
        """Execute the verb and return the exit code."""


# verb -> module
VERBS = {
    "baseline": "baseline",
    "data": "data",
    "evaluate": "evaluate",
    "export": "export",
    "predict": "predict",
    "report": "report",
    "runs": "runs",
    "runs clean": "runs_clean",
    "runs diff": "runs_diff",
    "shrink": "shrink",
}
# Verbs that train. The others only print, so that they end if nobody reads what they print.
TRAINING = ("baseline", "shrink")


def find(words: Sequence[str]) -> tuple[Verb, Sequence[str]]:
    """The module of the verb at the start of `words`, and the arguments of the verb.

    Raises:
        InputError: There is no such verb.
    """
    for length in (2, 1):
        if module := VERBS.get(" ".join(words[:length])):
            verb: Verb = importlib.import_module(f"ccompress.commands.{module}")
            return verb, words[length:]
    raise InputError(
        f"{words[0]!r} is not a verb{nearest(words[0], VERBS)}; verbs are "
        f"{', '.join(sorted(VERBS))}, options are KEY=VALUE (ccompress --help)"
    )
