"""How verbs read their arguments, and what a shell offers to complete them."""

import pytest

from ccompress.commands.arguments import Arguments
from ccompress.commands.verbs import VERBS, find
from ccompress.errors import InputError


@pytest.fixture
def parser():
    parser = Arguments("try", "Tries.")
    parser.add_argument("run", metavar="RUN")
    parser.completes("run", lambda before: ["3f2a", "77ab"])
    parser.add_argument("file", nargs="?", default="default.txt", help="(default: %(default)s)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--format", choices=["csv", "text"])
    parser.add_argument("--loud", action="store_true")
    return parser


@pytest.mark.parametrize(
    "line",
    [
        "3f2a a.txt --device cpu --loud",
        "3f2a --device cpu a.txt --loud",
        "--loud 3f2a --device=cpu a.txt",
        "--device cpu --loud 3f2a a.txt",
    ],
)
def test_options_may_be_anywhere(parser, line):
    given = parser.read(line.split())
    assert (given.run, given.file, given.device, given.loud) == ("3f2a", "a.txt", "cpu", True)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_uses_this_parser_and_has_help(verb, capsys):
    module, rest = find([*verb.split(), "--help"])
    assert list(rest) == ["--help"]
    with pytest.raises(SystemExit, match="0"):
        module.main(rest)
    assert capsys.readouterr().out.startswith(f"usage: ccompress {verb} ")
    with pytest.raises(InputError, match=f"`ccompress {verb} --help` shows what it takes"):
        module.main(["--nothing-of-the-kind"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "3f2a --devise cpu",
            r"--devise is not an option \(did you mean --device\?\); `ccompress try",
        ),
        ("3f2a --lout", r"--lout is not an option \(did you mean --loud\?\)"),
        ("3f2a a.txt b.txt", "'b.txt' is one argument too many"),
        ("--loud", "are required: RUN"),
        ("3f2a --format xml", "'csv', 'text'"),
    ],
)
def test_wrong_arguments_give_an_error_of_one_line(parser, line, message):
    with pytest.raises(InputError, match=message) as caught:
        parser.read(line.split())
    assert "\n" not in str(caught.value)


def test_help_may_be_anywhere_and_shows_defaults(parser, capsys):
    with pytest.raises(SystemExit, match="0"):
        parser.read(["3f2a", "--device", "cpu", "--help"])
    shown = capsys.readouterr().out
    assert "RUN [file]" in " ".join(shown.split())
    assert "(default: default.txt)" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], ["3f2a", "77ab"]),
        (["7"], ["77ab"]),
        (["--device", "cpu", "7"], ["77ab"]),
        (["--loud", ""], ["3f2a", "77ab"]),
        (["3f2a", ""], []),  # any file
        (["3f2a", "--format", ""], ["csv", "text"]),
        (["3f2a", "--device", ""], []),  # any text
        (["3f2a", "--f"], ["--format"]),
        (["3f2a", "a.txt", ""], []),
    ],
)
def test_candidates_are_those_of_the_last_word(parser, words, expected):
    assert parser.candidates(words) == expected
