"""Tokenizers: from raw text to lower-cased tokens, the same in training and on a user's text.

All of them lower-case, since GloVe 6B and the vectors made like it do.
"""

import re
from collections.abc import Callable
from typing import cast

from ccompress.errors import InputError, nearest
from ccompress.locate import locate

Tokenizer = Callable[[str], list[str]]

_TYPOGRAPHIC = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "–": "--", "—": "--"}
    # the same in Windows-1252 read as Latin-1, as in many IMDB reviews
    | {"\x93": '"', "\x94": '"', "\x91": "'", "\x92": "'", "\x85": "..."}
    | {"\x96": "--", "\x97": "--"}
)
_LINE_BREAK = re.compile(r"<br\s*/?>")
_OPENING_DOUBLE = re.compile(r'(?<![^\s(\[{`\-/])"(?=\S)')
# An apostrophe before a word opens a quotation, unless it stands for letters left out.
_OPENING_SINGLE = re.compile(
    r"(?<![^\s(\[{`\-/])'(?=\w)(?!(?:s|d|m|t|re|ve|ll|em|til|tis|twas|cause|n'?|\d\ds?)(?!\w))"
)
# What `treebank` does to lower-cased text, one after another, before it looks for tokens.
TREEBANK_SUBSTITUTIONS: list[tuple[str | re.Pattern[str], str]] = [
    *((chr(letter), plain) for letter, plain in _TYPOGRAPHIC.items()),
    (_LINE_BREAK, " "),
    (_OPENING_DOUBLE, " `` "),
    ('"', " '' "),
    (_OPENING_SINGLE, " ` "),
    ("n't", " n't "),
]
_ABBREVIATIONS = "mr|mrs|ms|dr|prof|jr|sr|vs|etc|inc|ltd|bros"
_ABBREVIATIONS_INSIDE = (  # words, too: the full stop is theirs only if the sentence goes on
    "rev|gen|sen|rep|gov|lt|col|capt|sgt|st|co|corp|al|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct"
    "|nov|dec"
)
# The order of the alternatives matters: the first that matches wins.
TREEBANK_TOKEN = re.compile(
    rf"""
      n't(?!\w)
    | [^\W\d_](?:\.[^\W\d_])+(?!\w)\.?        # u.s.  j.r.r.  e.t
    | (?:{_ABBREVIATIONS})\.
    | (?:{_ABBREVIATIONS_INSIDE})\.(?=\s*[^\s.)'])
    | no\.(?=\s*\d)                           # "no. 1", but "said no." ends a sentence
    | (?!i\.)[^\W\d_]\.(?=\s+\w)              # j. edgar, but "you and i." ends a sentence
    | can(?=not(?!\w))                        # cannot -> can not
    | \d+(?:[.,:]\d+)+                        # 10,000  1.8  8:30
    | ol'(?!\w)
    | (?:www\.)?\w+(?:(?:[-/&]|'(?!(?:s|d|m|t|re|ve|ll)(?!\w)))\w+)*  # and/or  r&b  o'clock
      (?:\.(?:com|net|org|edu|gov)(?!\w))?
    | '(?:s|d|m|t|re|ve|ll|em|til|tis|twas|cause|\d\ds?)(?!\w)  # 's  'em  '70s
    | 'n(?:'(?!\w))?                          # rock 'n' roll
    | \.com(?!\w) | \.\d+
    | `` | '' | \.\.\. | -{{2,}} | \*+ | \S
    """,
    re.VERBOSE,
)


def treebank(text: str) -> list[str]:
    """Tokenize raw English text into the Penn Treebank's tokens, lower-cased.

    The conventions are those of the Stanford Sentiment Treebank as `datasets.sst` reads it:
    clitics are words of their own (`do n't`, `it 's`), double quotes are (``) and (''), an opening
    single quote is (`), brackets are themselves (not -LRB-), `cannot` is `can not`. HTML line
    breaks, as in the Large Movie Review Dataset, are spaces. Source: the tokenization of the Penn
    Treebank (Marcus, Santorini and Marcinkiewicz 1993), on which GloVe's is modelled.
    """
    text = text.lower()
    if not text.isascii():
        text = text.translate(_TYPOGRAPHIC)
    if "<br" in text:
        text = _LINE_BREAK.sub(" ", text)
    if '"' in text:
        text = _OPENING_DOUBLE.sub(" `` ", text).replace('"', " '' ")
    if "'" in text:
        text = _OPENING_SINGLE.sub(" ` ", text).replace("n't", " n't ")
    return TREEBANK_TOKEN.findall(text)


def whitespace(text: str) -> list[str]:
    """Split lower-cased text at white space: for text that is tokenized already."""
    return text.lower().split()


def _basic_english() -> Tokenizer:
    # torchtext imports torch: only where it is wanted
    from torchtext.data import get_tokenizer

    return cast(Tokenizer, get_tokenizer("basic_english"))


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "treebank": lambda: treebank,
    "basic_english": _basic_english,
    "whitespace": lambda: whitespace,
}


def get(name: str) -> Tokenizer:
    """Return a tokenizer, a function from text to tokens, by its name.

    Args:
        name: `treebank`; `basic_english` (torchtext's: it drops quotation marks, colons and
            semicolons, and splits at every apostrophe); `whitespace`; or the dotted path of a
            function of one's own, such as `package.module.function`.

    Raises:
        InputError: There is no such tokenizer.
    """
    if name in TOKENIZERS:
        return TOKENIZERS[name]()
    if "." not in name:
        raise InputError(
            f"unknown tokenizer {name!r}{nearest(name, TOKENIZERS)}; known are "
            f"{', '.join(TOKENIZERS)}, and the dotted path of a function"
        )
    try:
        tokenizer = locate(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"tokenizer {name!r} cannot be imported: {error}") from error
    if not callable(tokenizer):
        raise InputError(f"tokenizer {name!r} is not a function from text to a list of tokens")
    return cast(Tokenizer, tokenizer)
