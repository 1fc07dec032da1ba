"""Errors whose message is one line: what the user can correct, and what ends a run."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


class InputError(ValueError):
    """The user's input is wrong: an option, a file or a folder.

    The message is one line. It names what is wrong, where, and what would be right. The command
    line prints the message without a traceback and exits with code 2.
    """


class MissingData(InputError):
    """Data that a run reads are missing.

    Attributes:
        root: The data root.
        names: What `ccompress data fetch` can bring: name -> one of the missing files.
        others: What it cannot bring: for each, a sentence that says where to get it.
        instead: What works without these data, such as `set vectors=cooccurrence`.
    """

    def __init__(
        self,
        root: Path | None = None,
        names: Mapping[str, str] | None = None,
        others: Iterable[str] = (),
        instead: Iterable[str] = (),
    ) -> None:
        self.root, self.names, self.others = root, dict(names or {}), list(others)
        self.instead = list(instead)
        sentences = list(self.others)
        if self.names:
            lacking = ", ".join(f"{name} (no {file})" for name, file in self.names.items())
            verb = "is" if len(self.names) == 1 else "are"
            sentences.append(
                f"{lacking} {verb} not in the data root {root};"
                f" run: ccompress data fetch {' '.join(self.names)}"
            )
        super().__init__(", or ".join(["; ".join(sentences), *self.instead]))

    def __add__(self, other: "MissingData") -> "MissingData":
        """The missing data of both, each named once."""
        return MissingData(
            self.root or other.root,
            self.names | other.names,
            dict.fromkeys([*self.others, *other.others]),
            dict.fromkeys([*self.instead, *other.instead]),
        )


class Diverged(RuntimeError):
    """The loss became infinite or not a number."""


class OutOfMemory(RuntimeError):
    """Memory ran out. The message is one line and says what would need less memory."""


class DeviceLost(BaseException):
    """A GPU reported an error after which this process can no longer use it and must end.

    It is not an Exception, so that no handler takes it for the failure of one run and continues.

    Attributes:
        process: The id of the process.
    """

    def __init__(self, message: str, process: int) -> None:
        super().__init__(message, process)  # both, because pickle builds the error from `args`
        self.process = process

    def __str__(self) -> str:
        return str(self.args[0])


class DiskFull(BaseException):
    """The disk is full, so that no further run of a sweep can be written.

    It is not an Exception, because launchers keep a run's Exception until all runs have ended.
    """


def described(error: BaseException) -> str:
    """The class and message of an error in one line, as the row of a failed run stores it."""
    return f"{type(error).__name__}: {one_line(error)}"


def is_refusal(error: str) -> bool:
    """Whether what `described` gives is of refused input: an impossible rate, a mistyped path."""
    return error.startswith(tuple(f"{kind.__name__}:" for kind in (InputError, MissingData)))


def one_line(error: BaseException) -> str:
    """The message of an error in one line; for an error of the system, with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the most similar known word; empty if none is similar."""
    close = closest(word, known)
    return f" (did you mean {close}?)" if close else ""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word, in capitals or not, or None if none is similar."""
    names = {name.lower(): name for name in known}
    return next((names[near] for near in difflib.get_close_matches(word.lower(), names, n=1)), None)
