"""The tokenizers. `treebank` is compared with the tokens of the treebank itself."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccompress.data.datasets.sst import SST2
from ccompress.data.text import tokenizers
from ccompress.data.text.tokenizers import treebank
from ccompress.errors import InputError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's a film you don't forget.", "it 's a film you do n't forget ."),
        ("I can't, won't and cannot!", "i ca n't , wo n't and can not !"),
        (
            "We'd say they're what I've seen; I'm sure he'll go",
            "we 'd say they 're what i 've seen ; i 'm sure he 'll go",
        ),
        ("A \"so-called\" 'comedy' (really)", "a `` so-called '' ` comedy ' ( really )"),
        ("“Curly” quotes’ ends — and…", "`` curly '' quotes ' ends -- and ..."),
        (
            "the actors' faces, o'clock, ol' rock 'n' roll",
            "the actors ' faces , o'clock , ol' rock 'n' roll",
        ),
        ("in the '70s, get 'em", "in the '70s , get 'em"),
        (
            "Mr. Smith of the U.S. met J. Edgar vs. E.T.",
            "mr. smith of the u.s. met j. edgar vs. e.t.",
        ),
        (
            "He said no. The end of the movie. It ends.",
            "he said no . the end of the movie . it ends .",
        ),
        ("No. 1 costs $7.50 or 10,000 at 8:30", "no. 1 costs $ 7.50 or 10,000 at 8:30"),
        ("co-writer/director R&B and/or 9/11", "co-writer/director r&b and/or 9/11"),
        ("see feardotcom.com.Now", "see feardotcom.com . now"),
        ("bad.Really bad!!", "bad . really bad ! !"),
        ("one<br /><br />two<BR>three", "one two three"),
        ("so ... bad -- or ***", "so ... bad -- or ***"),
        ("caf\x92s it\x92s", "caf 's it 's"),
        ("", ""),
    ],
)
def test_treebank_conventions(text: str, tokens: str) -> None:
    assert treebank(text) == tokens.split()


@given(st.text(st.characters(codec="ascii", exclude_characters='"`<'), max_size=60))
@example("n't 'n 'tis can'tcannot u.s.a.b ..... no.1")
def test_treebank_drops_nothing_and_makes_no_white_space(text: str) -> None:
    tokens = treebank(text)
    assert all(token and not any(map(str.isspace, token)) for token in tokens)
    assert "".join(tokens).replace("`", "'") == "".join(text.lower().split())


def detokenized(tokens: list[str]) -> str:
    """Tokens as a person writes them, with joined clitics and punctuation and plain quotes."""
    joined_to_previous = {"n't", "'s", "'re", "'ve", "'ll", "'d", "'m", "'", "''", ")", "..."}
    joined_to_previous |= set(",.;:?!%")
    joined_to_next = {"(", "$", "#", "``", "`"}
    text, previous = "", ""
    for token in tokens:
        joined = token in joined_to_previous or (previous, token) == ("can", "not")
        if previous and not joined and previous not in joined_to_next:
            text += " "
        text += {"``": '"', "''": '"', "`": "'"}.get(token, token)
        previous = token
    return text


def test_treebank_gives_raw_text_the_treebanks_own_tokens(real_data: Path) -> None:
    splits = SST2(name="sst2", tokenizer="treebank", vectors="glove").load(real_data)
    sentences = splits.train.tokens + splits.dev.tokens + splits.test.tokens
    pairs = [(tokens, treebank(detokenized(tokens))) for tokens in sentences]
    different = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
    # The remaining differences cannot be decided: "Jason X." may end in an initial or a full stop.
    assert len(different) <= 0.003 * len(pairs)
    theirs, ours = (Counter(token for pair in pairs for token in pair[side]) for side in (0, 1))
    assert (theirs - ours).total() + (ours - theirs).total() <= 0.0005 * theirs.total()
    clitics = ("n't", "'s", "'re", "``", "''", "`", "'", "(", ")", "...", "--")
    assert all(abs(theirs[token] - ours[token]) <= 0.01 * theirs[token] for token in clitics)
    assert "-lrb-" not in theirs


def test_treebank_leaves_tokenized_questions_as_they_are(real_data: Path) -> None:
    lines = (real_data / "trec" / "train_5500.label").read_text("ISO-8859-1").splitlines()
    questions = [line.partition(" ")[2].lower() for line in lines]
    assert sum(treebank(text) != text.split() for text in questions) <= 0.01 * len(questions)


def test_other_tokenizers() -> None:
    assert tokenizers.get("treebank") is treebank
    assert tokenizers.get("whitespace")(" Do n't  (stop") == ["do", "n't", "(stop"]
    assert tokenizers.get("basic_english")('Don\'t say "so": no.') == [
        *("don", "'", "t", "say", "so", "no", ".")
    ]
    assert tokenizers.get("shlex.split")("a 'b c'") == ["a", "b c"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("treebnk", r"unknown tokenizer 'treebnk' \(did you mean treebank"),
        ("no.such.module", "'no.such.module' cannot be imported"),
        ("shlex.nothing", "'shlex.nothing' cannot be imported"),
        ("string.digits", "'string.digits' is not a function"),
    ],
)
def test_an_unknown_tokenizer_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        tokenizers.get(name)
