"""Writes our tokenizers as `tokenizer.json` for the `tokenizers` library of many languages.

Our tokenizers and the library do the same: they make substitutions, and then a pattern finds the
tokens. Only the names of character classes differ between Python and the library's engine,
Oniguruma.

The only known differences concern characters that one of the two does not know yet, because its
version of Unicode is older. Python 3.11 has version 14. For each tokenizer, both give the same rows
for each assigned character of that version, between letters, digits and marks. They also give the
same rows for each of the 135,646 texts of trec, snips, clinc150, sst2, books and imdb.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ccompress.data.text import tokenizers
from ccompress.data.text.vocabulary import PAD, SPECIAL, UNK, rows_by_word
from ccompress.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Regex

Substitution = tuple[str | re.Pattern[str], str]

# These are the characters themselves, because Oniguruma reads \xa0 as a byte.
_SPACE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Python's classes -> the same for Oniguruma, whose \w includes marks but no fractions, and whose \s
# lacks the separators of ASCII.
_CLASSES = {
    r"[^\W\d_]": r"[\p{L}\p{Nl}\p{No}]",
    r"\w": r"[\p{L}\p{N}_]",
    r"\d": r"\p{Nd}",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
}
# str.lower turns a Σ at the end of a word into ς. The library lowers each letter alone, into σ.
_FINAL_SIGMA = r"(?<=\p{Cased}\p{Case_Ignorable}*)Σ(?!\p{Case_Ignorable}*\p{Cased})"

# The steps of each tokenizer, on lower-cased text: substitutions in order, and the token's pattern.
_STEPS: dict[str, tuple[Sequence[Substitution], re.Pattern[str]]] = {
    "treebank": (tokenizers.TREEBANK_SUBSTITUTIONS, tokenizers.TREEBANK_TOKEN),
    "basic_english": (
        (
            ("'", " ' "),
            ('"', ""),
            (".", " . "),
            ("<br />", " "),
            *((mark, f" {mark} ") for mark in ",()!?"),
            (";", " "),
            (":", " "),
        ),
        re.compile(r"\S+"),
    ),
    "whitespace": ((), re.compile(r"\S+")),
}


def can_hold(name: str) -> bool:
    """Whether a `tokenizer.json` can hold a tokenizer; it cannot hold a user's own function."""
    return name in _STEPS


def written(name: str, words: Sequence[str]) -> str:
    """The contents of a `tokenizer.json` that gives rows of the table, as `Model.encode` does.

    In a batch, shorter texts are padded at their end with 0, the row of `<pad>`. A text without
    words has no tokens. The file also holds the n-grams, as words with spaces, which the tokenizer
    never gives. The program that reads it looks them up (`ccompress.deployment.onnx_predict`).

    Args:
        name: The name of the tokenizer, as `ccompress.data.text.tokenizers.get` knows it.
        words: The word or n-gram of each row.

    Raises:
        InputError: The tokenizer is a user's own function.
        ImportError: The library is not installed.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    if not can_hold(name):
        raise InputError(
            f"tokenizer.json cannot hold the tokenizer {name}, a function of your own: give --out "
            "FILE.onnx, beside which the words are written"
        )
    substitutions, token = _STEPS[name]
    tokenizer = Tokenizer(models.WordLevel(rows_by_word(list(words)), unk_token=words[UNK]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_FINAL_SIGMA), "ς"),
            normalizers.Lowercase(),
            *(
                normalizers.Replace(
                    pattern if isinstance(pattern, str) else _translated(pattern, Regex),
                    replacement,
                )
                for pattern, replacement in substitutions
            ),
        ]
    )
    # Inverted, it removes everything except the tokens.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        _translated(token, Regex), "removed", invert=True
    )
    tokenizer.enable_padding(pad_id=PAD, pad_token=SPECIAL[PAD])
    return str(tokenizer.to_str(pretty=True))


def _translated(pattern: re.Pattern[str], make: "Callable[[str], Regex]") -> "Regex":
    """A pattern of Python in the syntax of Oniguruma."""
    text = pattern.pattern
    if pattern.flags & re.VERBOSE:
        text = re.sub(r"\s+#.*|\s+", "", text)  # no pattern of ours contains a literal space or #
    for ours, theirs in _CLASSES.items():
        text = text.replace(ours, theirs)
    return make(text)
