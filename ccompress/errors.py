"""Errors that are told in one line: what the user can mend, and what ends a run."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


class InputError(ValueError):
    """Something the user gave is wrong: an option, a file, a folder.

    The message is one line and names what was wrong, where, and what would be right. The command
    line prints it without a traceback and exits with code 2.
    """


class MissingData(InputError):
    """Data that a run reads are not there.

    Attributes:
        root: The data root.
        names: What `ccompress data fetch` brings, by its name -> a file that it lacks.
        others: What it does not bring, a sentence each that says where it is to be had.
    """

    def __init__(
        self,
        root: Path | None = None,
        names: Mapping[str, str] | None = None,
        others: Iterable[str] = (),
    ) -> None:
        self.root, self.names, self.others = root, dict(names or {}), list(others)
        sentences = list(self.others)
        if self.names:
            lacking = ", ".join(f"{name} (no {file})" for name, file in self.names.items())
            verb = "is" if len(self.names) == 1 else "are"
            sentences.append(
                f"{lacking} {verb} not in the data root {root};"
                f" run: ccompress data fetch {' '.join(self.names)}"
            )
        super().__init__("; ".join(sentences))

    def __add__(self, other: "MissingData") -> "MissingData":
        """All that is missing, said once."""
        return MissingData(
            self.root or other.root,
            self.names | other.names,
            dict.fromkeys([*self.others, *other.others]),
        )


class Diverged(RuntimeError):
    """The loss became infinite or not a number."""


class OutOfMemory(RuntimeError):
    """Memory ran out; the message is one line and says what would need less."""


class DeviceLost(BaseException):
    """A GPU reported an error after which this process can use it no more, and has to end.

    No Exception, so that nothing on the way takes it for the failure of one run and goes on.

    Attributes:
        process: The number of the process.
    """

    def __init__(self, message: str, process: int) -> None:
        super().__init__(message, process)  # both, so that it comes whole from another process
        self.process = process

    def __str__(self) -> str:
        return str(self.args[0])


class DiskFull(BaseException):
    """No run of a sweep can be written any more.

    It is no Exception, because launchers keep each Exception of a run until all runs have ended.
    """


def described(error: BaseException) -> str:
    """The kind of an error and what it says, in one line, as the row of a failed run has it."""
    return f"{type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """What an error says, in one line; where the system says it of a file, with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
