"""Our tokenizers for the `tokenizers` library, which many languages have: a `tokenizer.json`.

Both do the same: substitutions, then a pattern that finds the tokens. Only the names of classes of
characters differ between Python and the library's engine, Oniguruma.

The only known differences are characters that one of the two does not know yet, because its version
of Unicode is older: Python 3.11 has version 14. Each assigned character of that version, between
letters, digits and marks, and each of 135,646 real texts (trec, snips, clinc150, sst2, books, and
imdb, whole) give the same rows with both, for each tokenizer.
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

# The characters themselves: by \xa0 Oniguruma means a byte.
_SPACE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Python's classes, and what Oniguruma has to be told: its \w has marks and lacks fractions, its \s
# lacks the separators of ASCII.
_CLASSES = {
    r"[^\W\d_]": r"[\p{L}\p{Nl}\p{No}]",
    r"\w": r"[\p{L}\p{N}_]",
    r"\d": r"\p{Nd}",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
}
# str.lower makes ς of a Σ that ends a word; the library, which looks at each letter alone, σ.
_FINAL_SIGMA = r"(?<=\p{Cased}\p{Case_Ignorable}*)Σ(?!\p{Case_Ignorable}*\p{Cased})"

# Each tokenizer, of lower-cased text: substitutions one after another, and what a token is.
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
    """Whether a `tokenizer.json` can hold a tokenizer: any but a function of one's own."""
    return name in _STEPS


def written(name: str, words: Sequence[str]) -> str:
    """The contents of a `tokenizer.json` that gives rows of the table, as `Model.encode` does.

    Of several texts the shorter ones are filled up at their end with 0, the row of `<pad>`. A text
    without words has no tokens. The file holds n-grams, too, but as words with spaces, which no
    text has: the program that reads it looks them up (`ccompress.deployment.onnx_predict`).

    Args:
        name: The tokenizer, a name known to `ccompress.data.text.tokenizers.get`.
        words: The word or n-gram of each row.

    Raises:
        InputError: The tokenizer is a function of one's own.
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
                    found if isinstance(found, str) else _translated(found, Regex), replacement
                )
                for found, replacement in substitutions
            ),
        ]
    )
    # Inverted, it is the rest that is removed.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        _translated(token, Regex), "removed", invert=True
    )
    tokenizer.enable_padding(pad_id=PAD, pad_token=SPECIAL[PAD])
    return str(tokenizer.to_str(pretty=True))


def _translated(pattern: re.Pattern[str], make: "Callable[[str], Regex]") -> "Regex":
    """A pattern of Python as Oniguruma has to be told it."""
    text = pattern.pattern
    if pattern.flags & re.VERBOSE:
        text = re.sub(r"\s+#.*|\s+", "", text)  # no pattern of ours means a space or # by itself
    for ours, theirs in _CLASSES.items():
        text = text.replace(ours, theirs)
    return make(text)
