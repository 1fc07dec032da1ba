"""Messages about odd texts and labels."""

import pytest

from ccompress.data.base import Examples, Splits
from ccompress.data.oddities import coverage, oddities


def examples(*texts: tuple[str, str]) -> Examples:
    return Examples([text.split() for text, _ in texts], [label for _, label in texts])


def splits(train: Examples, test: Examples) -> Splits:
    return Splits(train, examples(("dev", "x"), ("dev one", "y")), test)


PLAIN = [(f"{word} {i}", label) for word, label in (("so", "x"), ("no", "y")) for i in range(5)]
TEST = [("so well", "x"), ("no no", "y")]


def test_plain_texts_give_no_message() -> None:
    assert list(oddities(splits(examples(*PLAIN), examples(*TEST)))) == []


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([(f"a {i}", "X ") for i in range(5)], [("b", "X ")], "different classes (with their"),
        ([(f"a {i}", "X ") for i in range(5)], [("b", "X ")], ": 'x' (7) and 'X ' (6)"),
        ([("a", "z")], [("b", "z")], "1 of 3 classes have fewer than 5 texts: 'z'"),
        ([(f"a {i}", "z") for i in range(5)], [], "1 of 3 classes are not in test: 'z'"),
        ([], [("so 1", "x")], "1 of 3 texts of test are in train too"),
        ([("so 1", "y")], [], "1 texts have several labels"),
    ],
)
def test_odd_texts_and_labels_give_a_message(
    train: list[tuple[str, str]], test: list[tuple[str, str]], expected: str
) -> None:
    (sentence,) = oddities(splits(examples(*PLAIN, *train), examples(*TEST, *test)))
    assert expected in sentence


def test_words_with_a_vector_count_as_often_as_they_occur() -> None:
    both = splits(examples(*PLAIN), examples(("so new new so so", "x"), ("no", "y")))
    (sentence,) = coverage(both, {"so", "no", "new"})
    assert (
        sentence
        == "words: 100.0 % of the words of test, 100.0 % of the different ones, have a vector"
    )
    sentence, note = coverage(both, {"so", "no"})
    assert "66.7 % of the words of test, 66.7 % of the different" in sentence
    assert note == "note: few words of test have a vector; the most frequent without: 'new'"
    sentence, _ = coverage(both, {"so"})
    assert "50.0 % of the words of test, 33.3 % of the different" in sentence
