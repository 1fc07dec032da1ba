"""The checks of every data set, and the dev split that is held out from train."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccompress.data.base import (
    Examples,
    Splits,
    default_root,
    examples_from,
    hold_out,
    parse_json,
    read_text,
)
from ccompress.errors import InputError

GOOD = Examples([["good"], ["bad"]], ["pos", "neg"])


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize(
    ("examples", "complaint"),
    [
        (Examples([], []), "{split} split has no examples"),
        (Examples([["good"], []], ["pos", "neg"]), r"{split} split .*.example 2, label 'neg'"),
    ],
)
def test_a_split_without_examples_or_with_an_empty_text_is_refused(
    split: str, examples: Examples, complaint: str
) -> None:
    splits = {"train": GOOD, "dev": GOOD, "test": GOOD, split: examples}
    with pytest.raises(InputError, match=complaint.format(split=split)):
        Splits(**splits)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_label_that_train_lacks_is_refused(split: str) -> None:
    splits = {"train": GOOD, "dev": GOOD, "test": GOOD}
    splits[split] = Examples([["so"]] * 4, ["pos", "neutral", "mixed", "neutral"])
    message = r"has 2 labels that train lacks, in 3 texts: 'neutral' \(example 2\), 'mixed' \(e"
    with pytest.raises(InputError, match=f"{split} split {message}"):
        Splits(**splits)


def test_one_class_is_refused() -> None:
    only = Examples([["good"]], ["pos"])
    with pytest.raises(InputError, match=r"one class only .'pos'"):
        Splits(only, only, only)


def test_a_class_may_be_absent_from_dev_and_test() -> None:
    only = Examples([["good"]], ["pos"])
    assert len(Splits(GOOD, only, only).test) == 1


def test_different_numbers_of_texts_and_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="1 texts but 2 labels"):
        Examples([["a"]], ["x", "y"])


labelled = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=4), st.sampled_from("xyz")), max_size=60
)


@given(labelled)
def test_hold_out_takes_a_tenth_of_every_label_and_loses_nothing(
    pairs: list[tuple[str, str]],
) -> None:
    train, dev = hold_out(examples_from(pairs, list))
    together = list(zip(train.tokens + dev.tokens, train.labels + dev.labels, strict=True))
    assert Counter(("".join(tokens), label) for tokens, label in together) == Counter(pairs)
    for label, number in Counter(label for _, label in pairs).items():
        assert dev.labels.count(label) == (max(1, round(number / 10)) if number > 1 else 0)


@given(labelled, st.randoms(use_true_random=False))
def test_hold_out_does_not_depend_on_the_order(pairs: list[tuple[str, str]], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(pairs, len(pairs))
    first, second = (hold_out(examples_from(order, list))[1] for order in (pairs, shuffled))

    def as_set(examples: Examples) -> list[tuple[list[str], str]]:
        return sorted(zip(examples.tokens, examples.labels, strict=True))

    assert as_set(first) == as_set(second)


def test_hold_out_keeps_the_order_and_does_not_depend_on_other_labels() -> None:
    pairs = [(f"text {number}", "x") for number in range(100)]
    train, dev = hold_out(examples_from(pairs, str.split))
    texts = [" ".join(tokens) for tokens in train.tokens]
    assert texts == [text for text, _ in pairs if text in texts]
    more = hold_out(examples_from([*pairs, ("another", "y"), ("third", "y")], str.split))[1]
    assert more.tokens[: len(dev)] == dev.tokens


def test_equal_tokens_are_the_same_object() -> None:
    examples = examples_from([("a long word", "x"), ("another long word", "x")], str.split)
    assert examples.tokens[0][1] is examples.tokens[1][1]


def test_the_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CCOMPRESS_DATA", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("CCOMPRESS_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root().name == "data"
    assert "ccompress" in default_root().parts
    assert tmp_path in default_root().parents


def test_errors_of_reading_name_the_file_and_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent.txt: No such file"):
        read_text(tmp_path / "absent.txt")
    (tmp_path / "latin.txt").write_bytes("one\ntwo\ncafé\n".encode("ISO-8859-1"))
    with pytest.raises(InputError, match=r"latin.txt is not UTF-8 \(line 3\)"):
        read_text(tmp_path / "latin.txt")
    assert read_text(tmp_path / "latin.txt", "ISO-8859-1") == "one\ntwo\ncafé\n"
    with pytest.raises(InputError, match="here is not JSON"):
        parse_json("{", "here")
