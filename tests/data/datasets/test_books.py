import hashlib
import re
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from ccompress.data.datasets.books import INTENTS, KINDS, Books, utterances

ACTION, KIND = 0, 1  # the parts of an intent's name


@pytest.fixture(scope="module")
def splits():
    return Books().load(Path("nowhere"))


def test_the_texts_are_the_same_on_every_machine():
    text = "".join(f"{intent}\t{text}\n" for text, intent in utterances(19_000))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "67ae070b63bd647893c40c8db774895ab1b23be0e0263031e8481bed3ebf41b5"


def test_a_longer_list_begins_with_the_shorter():
    assert utterances(70)[:50] == utterances(50)


def test_sizes_and_intents(splits):
    assert [len(split) for split in (splits.train, splits.dev, splits.test)] == [15_000, 2000, 2000]
    for split in (splits.train, splits.dev, splits.test):
        counts = Counter(split.labels)
        assert set(counts) == set(INTENTS)
        assert len(set(counts.values())) == 1
    assert len(INTENTS) == 20


def test_no_request_occurs_twice():
    texts = [text for text, _ in utterances(19_000)]
    assert len(set(texts)) == 19_000


def test_texts_look_like_the_output_of_a_speech_recognizer():
    for text, _ in utterances(19_000):
        assert re.fullmatch(r"[a-z']+( [a-z']+)*", text), text


def test_there_are_many_words_and_few_are_common(splits):
    counts = Counter(chain.from_iterable(splits.train.tokens))
    assert len(counts) >= 6000
    # Zipf's law: on logarithmic axes, frequency against rank is a line with a slope of about -1.
    frequency = np.sort(np.array(list(counts.values())))[::-1]
    ranks = np.arange(10, 3000)
    slope, _ = np.polyfit(np.log(ranks + 1), np.log(frequency[ranks]), 1)
    assert -1.4 < slope < -0.8


def naive_bayes(train, test, words, part):
    """Accuracy of multinomial naive Bayes that predicts a part of the intent from `words`."""
    column = {word: i for i, word in enumerate(words)}
    classes = sorted({label.split("_")[part] for label in train.labels})
    counts = np.ones((len(classes), len(words)))
    for tokens, label in zip(train.tokens, train.labels, strict=True):
        row = classes.index(label.split("_")[part])
        for token in tokens:
            if token in column:
                counts[row, column[token]] += 1
    scores = np.log(counts / counts.sum(axis=1, keepdims=True))
    guesses = [
        classes[scores[:, [column[t] for t in tokens if t in column]].sum(axis=1).argmax()]
        for tokens in test.tokens
    ]
    return np.mean(
        [g == label.split("_")[part] for g, label in zip(guesses, test.labels, strict=True)]
    )


def test_common_words_predict_the_action_and_rare_words_the_kind(splits):
    ranked = [word for word, _ in Counter(chain.from_iterable(splits.train.tokens)).most_common()]
    assert naive_bayes(splits.train, splits.dev, ranked[:200], ACTION) > 0.95
    assert naive_bayes(splits.train, splits.dev, ranked[:200], KIND) < 0.6
    assert naive_bayes(splits.train, splits.dev, ranked, KIND) > 0.9


def test_kinds_share_their_carriers(splits):
    common = []
    for kind in KINDS:
        pairs = zip(splits.train.tokens, splits.train.labels, strict=True)
        counts = Counter(chain.from_iterable(t for t, label in pairs if label.endswith(kind)))
        common.append({word for word, _ in counts.most_common(100)})
    assert len(set.intersection(*common)) > 65
