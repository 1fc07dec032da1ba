"""What a command line can go on with, where a shell asks for it in Hydra's way.

Hydra's scripts (`--shell-completion install=SHELL`) call the command with `-sc query=SHELL` and
with the line so far in COMP_LINE. Hydra knows overrides alone; verbs, their arguments and files are
added here.
"""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.errors import HydraException

from ccompress.commands import verbs
from ccompress.errors import InputError

_ASKED = ("-sc", "--shell-completion")


def shell_of(arguments: Sequence[str]) -> str | None:
    """The shell that asks for completions by these arguments; None where none does."""
    queries = [word.removeprefix("query=") for word in arguments if word.startswith("query=")]
    return queries[0] if queries and set(arguments) & set(_ASKED) else None


def answer(shell: str, overrides: Callable[[list[str]], int]) -> None:
    """Print what the line in COMP_LINE can go on with, in the form that `shell` reads.

    bash and zsh complete files by themselves where nothing is printed, and know how to quote them.

    Args:
        shell: bash, zsh or fish.
        overrides: Runs Hydra with arguments.
    """
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = line.split()[1:] + [""] * line[-1:].isspace() or [""]
    found = set(_candidates(words, shell, overrides)) - {words[-1]}
    print("\n".join(sorted(found) or _files(words[-1], shell)))


def _candidates(words: list[str], shell: str, overrides: Callable[[list[str]], int]) -> list[str]:
    """What the last word can become: a verb, an argument of one, or an override."""
    word = words[-1]
    if len(words) == 1:
        first = [verb for verb in verbs.VERBS if verb.startswith(word) and " " not in verb]
        return first + _of_hydra(words, shell, overrides)
    if words[0] not in verbs.VERBS:
        return _of_hydra(words, shell, overrides)
    second = [verb.partition(" ")[2] for verb in verbs.VERBS if verb.startswith(f"{words[0]} ")]
    found = [verb for verb in second if verb.startswith(word)] if len(words) == 2 else []
    module, rest = verbs.find(words[:-1])
    parser = module.parser()
    found += parser.candidates([*rest, word])
    if parser.takes_override([*rest, word]):
        given = [other for other in rest if "=" in other and not other.startswith("-")]
        found += _of_hydra([*given, word], shell, overrides)
    return found


def _of_hydra(words: Sequence[str], shell: str, overrides: Callable[[list[str]], int]) -> list[str]:
    """What Hydra says of a line of overrides; nothing where it cannot read it."""
    os.environ["COMP_LINE"] = " ".join(["ccompress", *words])
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(HydraException, InputError, SystemExit),
    ):
        overrides(["-sc", f"query={shell}"])
    return said.getvalue().split()


def _files(word: str, shell: str) -> list[str]:
    """The files that a word, or what follows its last `=`, can become."""
    key, equals, beginning = word.rpartition("=")
    if shell != "fish" and not equals:
        return []
    folder, slash, name = beginning.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    return [
        f"{key}{equals}{folder}{slash}{entry.name}{'/' * entry.is_dir()}"
        for entry in entries
        if entry.name.startswith(name) and (name or not entry.name.startswith("."))
    ]
