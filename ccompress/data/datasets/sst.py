"""The Stanford Sentiment Treebank, binary: positive or negative, neutral left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import Examples, Splits, examples_from, read_text
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import File, Source
from ccompress.data.text.tokenizers import whitespace
from ccompress.errors import InputError

_ARCHIVE = "https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip"
_SIZES = (6920, 872, 1821, 2)
_SIZES_WITH_PHRASES = (77201, 872, 1821, 2)

SOURCE = Source(
    name="sst2",
    title="Stanford Sentiment Treebank, binary (Socher et al. 2013)",
    home="https://nlp.stanford.edu/sentiment/treebank.html",
    licence="not stated",
    files=tuple(
        File(f"sst/trees/{split}.txt", sha256, _ARCHIVE, f"trees/{split}.txt")
        for split, sha256 in (
            ("train", "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7"),
            ("dev", "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40"),
            ("test", "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761"),
        )
    ),
    megabytes=0.8,
    sizes=_SIZES,
    archives={_ARCHIVE: "5c613a4f673fc74097d523a2c83f38e0cc462984d847b82c7aaf36b01cbbbfcc"},
)

# 0 and 1 are negative, 2 is neutral, 3 and 4 are positive.
_POLARITY = {"0": "negative", "1": "negative", "3": "positive", "4": "positive"}
_NODE = re.compile(r"\(([0-4]) (?=\()|\(([0-4]) ([^()]+)\)|(\))|\s+|(.)")
_ESCAPES = (("-LRB-", "("), ("-RRB-", ")"), ("\\/", "/"), ("\\*", "*"))


@dataclass(kw_only=True)
class SST2(Published):
    """Sentences of movie reviews, positive or negative (Socher et al. 2013).

    Training reads the treebank's own tokens, lower-cased, brackets and slashes unescaped; the
    tokenizer `treebank` makes the same of raw text.

    Attributes:
        phrases: Train on the distinct labelled phrases (lower-cased text and label) of the training
            trees, neutral ones left out. The sentences are among them: a sentence is the phrase at
            the root of its tree. Dev and test stay sentences.
    """

    source = SOURCE

    phrases: bool = False

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """As published; see `Published.sizes`."""
        return _SIZES_WITH_PHRASES if self.phrases else _SIZES

    def read(self, root: Path) -> Splits:
        """Read the three files of trees; see `Published.read`."""
        if self.tokenizer != "treebank":
            raise InputError(
                f"sst2 comes as the treebank's tokens, so dataset.tokenizer={self.tokenizer} would"
                " train on other words than it reads; leave it at treebank"
            )
        train = _trees(root, "train")
        return Splits(
            train=_distinct_phrases(train) if self.phrases else _sentences(train),
            dev=_sentences(_trees(root, "dev")),
            test=_sentences(_trees(root, "test")),
        )


def _trees(root: Path, split: str) -> list[list[tuple[str, str]]]:
    """All trees of a split, each as its phrases."""
    path = SOURCE.find(root, f"sst/trees/{split}.txt")
    return [
        list(_phrases(line, f"{path} line {number}"))
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip()
    ]


def _phrases(tree: str, where: str) -> Iterator[tuple[str, str]]:
    """The (text, label 0 to 4) of each node of a tree, children first, so the sentence is last."""
    words: list[str] = []
    open_nodes: list[tuple[str, int]] = []  # label, position of the first word
    for match in _NODE.finditer(tree):
        opened, leaf, word, closed, stray = match.groups()
        if opened:
            open_nodes.append((opened, len(words)))
        elif leaf:
            words.append(_unescape(word))
            yield words[-1], leaf
        elif closed and open_nodes:
            label, start = open_nodes.pop()
            yield " ".join(words[start:]), label
        elif closed or stray:
            raise InputError(f"{where} is not a tree of the treebank, such as (3 (2 It) (4 works))")
    if open_nodes or not words:
        raise InputError(f"{where} is not a whole tree: a bracket is not closed")


def _unescape(word: str) -> str:
    for escaped, plain in _ESCAPES:
        word = word.replace(escaped, plain)
    return word


def _sentences(trees: list[list[tuple[str, str]]]) -> Examples:
    sentences = (phrases[-1] for phrases in trees)
    # whitespace also parts the few "2 1/2" that the treebank holds together by a no-break space,
    # which nobody types
    return examples_from(
        ((text, _POLARITY[label]) for text, label in sentences if label in _POLARITY), whitespace
    )


def _distinct_phrases(trees: list[list[tuple[str, str]]]) -> Examples:
    """The distinct (lower-cased text, polarity) pairs, in order of their first occurrence."""
    distinct = dict.fromkeys(
        (text.lower(), _POLARITY[label])
        for phrases in trees
        for text, label in phrases
        if label in _POLARITY
    )
    return examples_from(distinct, whitespace)
