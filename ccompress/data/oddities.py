"""What a person would want to know of their own data before they train on them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Set

from ccompress.data.base import Splits

_FEW = 5  # texts of a class
_LISTED = 5  # names in a sentence
_COVERED = 0.8  # share of the words of test, each as often as it stands there


def oddities(splits: Splits) -> Iterator[str]:
    """What is odd about labelled texts, a sentence each; nothing, if all is well."""
    everything = [split.labels for split in (splits.train, splits.dev, splits.test)]
    counts = Counter(label for labels in everything for label in labels)
    alike = defaultdict(list)
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        alike["".join(label.split()).casefold()].append(f"{label!r} ({counts[label]})")
    if same := [" and ".join(labels) for labels in alike.values() if len(labels) > 1]:
        yield (
            "labels that differ by case or space only are different classes (with their texts): "
            f"{'; '.join(same[:_LISTED])}{'; …' * (len(same) > _LISTED)}"
        )
    if few := sorted(label for label, count in counts.items() if count < _FEW):
        yield f"{len(few)} of {len(counts)} classes have fewer than {_FEW} texts: {_some(few)}"
    if untested := sorted(counts.keys() - set(splits.test.labels)):
        yield f"{len(untested)} of {len(counts)} classes are not in test: {_some(untested)}"
    seen = {tuple(tokens) for tokens in splits.train.tokens}
    if both := sum(tuple(tokens) in seen for tokens in splits.test.tokens):
        yield f"{both} of {len(splits.test)} texts of test are in train too: test flatters"
    labels_of_text = defaultdict(set)
    for split in (splits.train, splits.dev, splits.test):
        for tokens, label in zip(split.tokens, split.labels, strict=True):
            labels_of_text[tuple(tokens)].add(label)
    if torn := sum(len(labels) > 1 for labels in labels_of_text.values()):
        yield f"{torn} texts have several labels: no model can be right on all of them"


def _some(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(map(repr, names[:_LISTED])) + ", …" * (len(names) > _LISTED)


def coverage(splits: Splits, words: Set[str]) -> Iterator[str]:
    """How much of test has a vector, and a warning where that is little.

    Args:
        splits: The texts.
        words: The words that have a vector.
    """
    test = Counter(word for tokens in splits.test.tokens for word in tokens)
    known = {word: count for word, count in test.items() if word in words}
    share = sum(known.values()) / test.total()
    yield (
        f"words: {100 * share:.1f} % of the words of test, {100 * len(known) / len(test):.1f} % of "
        "the different ones, have a vector"
    )
    if share < _COVERED:
        lacking = [word for word, _ in test.most_common() if word not in words]
        yield f"note: few words of test have a vector; the most frequent without: {_some(lacking)}"
