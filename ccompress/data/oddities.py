"""What a person would want to know of their own data before they train on them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from ccompress.data.base import Splits

_FEW = 5  # texts of a class
_LISTED = 5  # classes that a sentence names


def oddities(splits: Splits) -> Iterator[str]:
    """What is odd about labelled texts, a sentence each; nothing, if all is well."""
    everything = [split.labels for split in (splits.train, splits.dev, splits.test)]
    counts = Counter(label for labels in everything for label in labels)
    alike = defaultdict(list)
    for label in sorted(counts):
        alike["".join(label.split()).casefold()].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            names = " and ".join(map(repr, labels))
            yield f"the labels {names} differ by case or space only, and are different classes"
    if few := sorted(label for label, count in counts.items() if count < _FEW):
        yield f"{len(few)} of {len(counts)} classes have fewer than {_FEW} texts: {_some(few)}"
    if untested := sorted(counts.keys() - set(splits.test.labels)):
        yield f"{len(untested)} of {len(counts)} classes are not in test: {_some(untested)}"
    seen = {tuple(tokens) for tokens in splits.train.tokens}
    if both := sum(tuple(tokens) in seen for tokens in splits.test.tokens):
        yield f"{both} of {len(splits.test)} texts of test are in train too: test flatters"
    given = defaultdict(set)
    for split in (splits.train, splits.dev, splits.test):
        for tokens, label in zip(split.tokens, split.labels, strict=True):
            given[tuple(tokens)].add(label)
    if torn := sum(len(labels) > 1 for labels in given.values()):
        yield f"{torn} texts have several labels: no model can be right on all of them"


def _some(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(map(repr, names[:_LISTED])) + ", …" * (len(names) > _LISTED)


def unknown_share(splits: Splits, min_count: int) -> float:
    """The share of the words of test, each as often as it stands there, that training lacks."""
    counts = _words(splits.train.tokens)
    test = _words(splits.test.tokens)
    unknown = sum(count for word, count in test.items() if counts[word] < min_count)
    return unknown / test.total()


def _words(texts: Iterable[list[str]]) -> Counter[str]:
    return Counter(word for tokens in texts for word in tokens)
