"""Completions of a command line for a shell, by Hydra's protocol.

Hydra's scripts (`--shell-completion install=SHELL`) call the command with `-sc query=SHELL` and put
the present line into COMP_LINE. Hydra completes only overrides. This module adds verbs, their
arguments, and files.
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
    """The shell that asks for completions with these arguments; None if no shell asks."""
    queries = [word.removeprefix("query=") for word in arguments if word.startswith("query=")]
    return queries[0] if queries and set(arguments) & set(_ASKED) else None


def answer(shell: str, overrides: Callable[[list[str]], int]) -> None:
    """Print the completions of the line in COMP_LINE, in the form that `shell` reads.

    If nothing is printed, bash and zsh complete files themselves and quote them correctly.

    Args:
        shell: bash, zsh or fish.
        overrides: A function that runs Hydra with arguments.
    """
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    words = line.split()[1:] + [""] * line[-1:].isspace() or [""]
    completions = set(_candidates(words, shell, overrides)) - {words[-1]}
    print("\n".join(sorted(completions) or _files(words[-1], shell)))


def _candidates(words: list[str], shell: str, overrides: Callable[[list[str]], int]) -> list[str]:
    """What the last word can become: a verb, an argument of a verb, or an override."""
    word = words[-1]
    if len(words) == 1:
        first = [verb for verb in verbs.VERBS if verb.startswith(word) and " " not in verb]
        return first + _of_hydra(words, shell, overrides)
    if words[0] not in verbs.VERBS:
        return _of_hydra(words, shell, overrides)
    second = [verb.partition(" ")[2] for verb in verbs.VERBS if verb.startswith(f"{words[0]} ")]
    candidates = [verb for verb in second if verb.startswith(word)] if len(words) == 2 else []
    module, rest = verbs.find(words[:-1])
    parser = module.parser()
    candidates += parser.candidates([*rest, word])
    if parser.takes_override([*rest, word]):
        given = [other for other in rest if "=" in other and not other.startswith("-")]
        candidates += _of_hydra([*given, word], shell, overrides)
    return candidates


def _of_hydra(words: Sequence[str], shell: str, overrides: Callable[[list[str]], int]) -> list[str]:
    """Hydra's completions of a line of overrides; empty if Hydra cannot read the line.

    Hydra does not complete lists such as `dataset=sst2,tr`, so their last value is completed alone.
    """
    *before, word = words
    key, equals, values = word.partition("=")
    given, comma, last = values.rpartition(",")
    os.environ["COMP_LINE"] = " ".join(["ccompress", *before, f"{key}{equals}{last}"])
    output = io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(HydraException, InputError, SystemExit),
    ):
        overrides(["-sc", f"query={shell}"])
    whole = output.getvalue().split()
    if not comma:
        return whole
    others = {each.removeprefix(f"{key}{equals}") for each in whole} - set(given.split(","))
    return [f"{key}{equals}{given}{comma}{value}" for value in others]


def _files(word: str, shell: str) -> list[str]:
    """The files with which a word, or the part after its last `=`, can be completed."""
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
