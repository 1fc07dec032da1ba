"""The embedded data set `books`: spoken requests about books, synthetic throughout.

A grammar (books.txt) writes them from a fixed seed; no title, author or series is meant to exist.
They stand in for the proprietary Books data of the paper (Acharya et al. 2019, section 4). The 20
intents are five things to ask for times four kinds of name to ask about. What is asked for is plain
from a few common words. The kind is not: titles, authors, series and genres are asked for in the
same words, and it must be known from the names, which are thousands of rare words, some of them
shared between kinds. A name with its author's beside it counts as what it is itself.
"""

import re
from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import accumulate, chain, islice
from pathlib import Path
from random import Random

from ccompress.data.base import Splits, examples_from
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import Source
from ccompress.data.text import tokenizers

ACTIONS = ("read", "find", "buy", "describe", "recommend")
KINDS = ("title", "author", "series", "genre")
INTENTS = tuple(f"{action}_{kind}" for action in ACTIONS for kind in KINDS)

_SEED = 1811_00641
_SIZES = (15_000, 2_000, 2_000)

SOURCE = Source(
    name="books",
    title="Synthetic spoken requests about books, 20 intents, written by a grammar",
    home="part of this package: ccompress/data/datasets/books.txt",
    licence="Apache-2.0",
    files=(),
    megabytes=0,
    sizes=(*_SIZES, len(INTENTS)),
)
# How many words and names are put together; of names, the r-th is asked for with a weight of
# 1 / (r + flatness), and they take their words in the same way.
_WORDS = {"surname": 4000, "place": 3500, "compound": 2200}
_NAMES = {"title": 2500, "author": 2000, "series": 2000, "genre": 700}
_WORD_FLATNESS, _NAME_FLATNESS = 1000, 100
# In how many requests the words around a name suggest its kind.
_SUGGESTED = 0.3

_SECTION = re.compile(r"^\[(.+)\]$", re.MULTILINE)
_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_VOWEL = re.compile(r"\ba (?=[aio]|e(?!u))")
_SECOND_ARTICLE = re.compile(r"\b(the|a|my|that|some|more|another|\w+est|new|next|old) (?:the|a) ")


@dataclass(kw_only=True)
class Books(Published):
    """Synthetic spoken requests about books: 20 intents, 15,000/2,000/2,000 utterances."""

    source = SOURCE
    name: str = "books"
    tokenizer: str = "basic_english"
    vectors: str = "cooccurrence"

    def read(self, root: Path) -> Splits:
        """Write the requests; nothing is read from the data root."""
        requests = iter(utterances(sum(_SIZES)))
        tokenize = tokenizers.get(self.tokenizer)
        return Splits(*(examples_from(islice(requests, size), tokenize) for size in _SIZES))


def utterances(n: int) -> list[tuple[str, str]]:
    """Write n distinct requests, each intent as often as any other.

    Returns:
        (text, intent) pairs: lower case, no punctuation, with a recognizer's slips. They are the
        same on every machine, and a longer list begins with the shorter.
    """
    writer = _Writer()
    requests: dict[str, str] = {}
    while len(requests) < n:
        intent = INTENTS[len(requests) % len(INTENTS)]
        requests.setdefault(writer.request(*intent.split("_")), intent)
    return list(requests.items())


def _grammar() -> dict[str, list[str]]:
    """The items of each section of books.txt."""
    text = resources.files(__package__).joinpath("books.txt").read_text("utf-8")
    _, *parts = _SECTION.split(text)
    return {
        section: [item.strip() for item in re.split(r"[,\n]", body) if item.strip()]
        for section, body in zip(parts[::2], parts[1::2], strict=True)
    }


class _Zipf:
    """Items of which the r-th is drawn with a weight of 1 / (r + flatness)."""

    def __init__(self, items: Sequence[str], flatness: int) -> None:
        self.items = items
        # Division alone is the same to the last bit on every machine; a power is not.
        self.cumulative = list(accumulate(1 / (r + flatness) for r in range(1, len(items) + 1)))

    def at(self, fraction: float) -> str:
        """The item that a fraction in [0, 1) of the whole weight leads to."""
        return self.items[bisect(self.cumulative, fraction * self.cumulative[-1])]


class _Writer:
    """Draws requests from the grammar."""

    def __init__(self) -> None:
        # The one method of Random whose sequence Python promises to keep from version to version.
        self.random = Random(_SEED).random
        self.grammar = _grammar()
        for section, size in _WORDS.items():
            self.grammar[section] = self.distinct(size, partial(self.word, section))
        self.ranked = {
            section: _Zipf(sorted(items, key=lambda _: self.random()), _WORD_FLATNESS)
            for section, items in self.grammar.items()
        }
        words = self.grammar["misheard word"]
        self.misheard_words = dict(item.split(maxsplit=1) for item in words)
        self.misheard_sounds = [item.split() for item in self.grammar["misheard sound"]]
        taken: set[str] = set()
        for kind, size in _NAMES.items():
            names = self.distinct(size, partial(self.name, kind), taken)
            self.ranked[kind] = _Zipf(names, _NAME_FLATNESS)
            taken.update(names)

    def distinct(
        self, size: int, make: Callable[[], str], taken: Collection[str] = ()
    ) -> list[str]:
        """Call `make` until it has given `size` different results that are not taken."""
        made: dict[str, None] = {}
        while len(made) < size:
            result = make()
            if result not in taken:
                made[result] = None
        return list(made)

    def pick(self, section: str) -> str:
        """One of the section's items, each as likely as any other."""
        items = self.grammar[section]
        return items[int(self.random() * len(items))]

    def fill(self, pattern: str) -> str:
        """The pattern with an item of the section in place of each {section}."""
        return _SLOT.sub(lambda slot: self.ranked[slot[1]].at(self.random()), pattern)

    def word(self, section: str) -> str:
        """A word put together of the section's parts."""
        parts = [f"{section} {part}" for part in ("start", "middle", "end")]
        return "".join(self.pick(part) for part in parts if part in self.grammar)

    def name(self, kind: str) -> str:
        """A name of the kind."""
        return self.fill(self.pick(kind))

    def request(self, action: str, kind: str) -> str:
        """One request, as a recognizer writes it down."""
        about = kind if self.random() < _SUGGESTED else "any"
        pattern = self.pick(f"ask to {action}").replace("{}", self.pick(f"about {about}"))
        text = self.fill(pattern.replace("{}", f"{{{kind}}}"))
        text = _BEFORE_VOWEL.sub("an ", _SECOND_ARTICLE.sub(r"\1 ", text))
        if self.random() < 0.4:
            text = f"{self.pick('before')} {text}"
        if self.random() < 0.25:
            text = f"{text} {self.pick('after')}"
        return " ".join(chain.from_iterable(map(self.heard, text.split())))

    def heard(self, word: str) -> list[str]:
        """What is written down for a word: itself but for 7 of 100."""
        chance = self.random()
        if chance < 0.01:
            return []
        if chance < 0.02:
            return [word, word]
        if chance < 0.04:
            return [self.pick("hesitation"), word]
        if chance < 0.07:
            return [self.misheard(word)]
        return [word]

    def misheard(self, word: str) -> str:
        """A word (or two) that sounds like it; a few words sound like no other."""
        if word in self.misheard_words:
            return self.misheard_words[word]
        sounds = [pair for pair in self.misheard_sounds if pair[0] in word]
        if not sounds:
            return word
        old_sound, new_sound = sounds[int(self.random() * len(sounds))]
        return word.replace(old_sound, new_sound, 1)
