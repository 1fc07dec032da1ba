"""The arguments of verbs: options at any place, errors in one line, and completion."""

import argparse
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from ccompress.deployment.finding import RUNS_DIR as RUNS_DIR
from ccompress.errors import InputError, nearest
from ccompress.experiment.results import RESULT

_OVERRIDE = "KEY=VALUE"

# A function that takes the words before an argument and returns its possible values.
Completer = Callable[[Sequence[str]], Iterable[str]]


class Arguments(argparse.ArgumentParser):
    """The arguments of a verb."""

    def __init__(self, verb: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=f"ccompress {verb}", description=description, epilog=epilog)
        self._completers: dict[str, Completer] = {}

    def add_overrides(self, name: str, meaning: str) -> None:
        """Add the argument `name`, which takes words in the form of a run's overrides."""
        # Without a default, argparse names this argument if another one is missing.
        self.add_argument(name, nargs="*", default=[], metavar=_OVERRIDE, help=meaning)

    def completes(self, name: str, completer: Completer) -> None:
        """Complete the argument `name` with the values that `completer` returns."""
        self._completers[name] = completer

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The values of the arguments; options may be before, between or after the others.

        Raises:
            InputError: The arguments cannot be read.
        """
        # argparse reads in two passes, and in each of them --help would show half of the arguments.
        if {"-h", "--help"} & set(words):
            self.print_help()
            raise SystemExit(0)
        given, rest = self.parse_known_intermixed_args(list(words))
        if rest:
            options = [word for word in rest if word.startswith("-")]
            if not options:
                self.error(f"{rest[0]!r} is one argument too many")
            name = options[0].partition("=")[0]
            self.error(f"{name} is not an option{nearest(name, self._option_string_actions)}")
        return given

    def error(self, message: str) -> NoReturn:
        """Raise an InputError; argparse also calls this if it cannot read the arguments."""
        raise InputError(f"{message}; `{self.prog} --help` shows what it takes")

    def candidates(self, words: Sequence[str]) -> list[str]:
        """The completions of the last of `words`, which may be an empty string.

        There are none if it may be any file or any text.
        """
        *before, word = words
        option = self._option_string_actions.get(before[-1]) if before else None
        if option and option.nargs != 0:
            values = self._values(option, before)
        elif word.startswith("-"):
            values = self._option_string_actions
        else:
            action = self._positional(before)
            values = self._values(action, before) if action else []
        return sorted(value for value in values if value.startswith(word))

    def takes_override(self, words: Sequence[str]) -> bool:
        """Whether the last of `words`, which may be an empty string, can become an override."""
        *before, word = words
        places = [action for action in self._places() if action.metavar == _OVERRIDE]
        fits = "=" in word or self._positional(before) in places
        return bool(places) and fits and not word.startswith("-")

    def _values(self, action: argparse.Action, before: Sequence[str]) -> Iterable[str]:
        if action.choices is not None:
            return [str(choice) for choice in action.choices]
        completer = self._completers.get(action.dest)
        return completer(before) if completer else []

    def _positional(self, before: Sequence[str]) -> argparse.Action | None:
        """The positional argument that follows the words `before`; None after the last one."""
        position, is_value = 0, False
        for word in before:
            option = self._option_string_actions.get(word)
            position += not (option or is_value)
            is_value = option is not None and option.nargs != 0
        places = self._places()
        many = [place.nargs in ("*", "+") for place in places]
        if any(many):
            position = min(position, many.index(True))
        return places[position] if position < len(places) else None

    def _places(self) -> list[argparse.Action]:
        return [action for action in self._actions if not action.option_strings]


def value_of(option: str, words: Sequence[str], default: str) -> str:
    """The value of an option in words that may be incomplete."""
    pairs = itertools.pairwise(words)
    return next((value for name, value in pairs if name == option), default)


def run_ids(before: Sequence[str]) -> list[str]:
    """The ids of the runs in the folder that `--runs-dir` names."""
    folder = Path(value_of("--runs-dir", before, str(RUNS_DIR)))
    return [path.parent.name for path in folder.glob(f"*/{RESULT}")]


def add_runs_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder in which run ids are looked up."""
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=RUNS_DIR,
        metavar="FOLDER",
        help="where ids of runs are looked for (default: %(default)s)",
    )
