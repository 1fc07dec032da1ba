from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccompress.data.text.vocabulary import build, coverage_warning, embedding_table
from ccompress.data.vectors.sources import WordVectors
from ccompress.errors import InputError

TRAIN = [["b", "a", "a"], ["c", "b", "a"], ["d"]]


def vectors(*words, dim=3, frequent=None):
    matrix = np.arange(1, len(words) * dim + 1, dtype=np.float32).reshape(-1, dim)
    return WordVectors(list(words), matrix, len(words) if frequent is None else frequent)


def test_training_words_are_sorted_by_frequency_and_then_by_alphabet():
    vocabulary = build(TRAIN, vectors("x", "a"), "train", 100, 1)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert vocabulary.counts.tolist() == [0, 0, 3, 2, 1, 1]
    assert vocabulary.counts.dtype == np.int64
    assert (vocabulary.train_rows, len(vocabulary)) == (6, 6)


def test_max_size_counts_every_row():
    vocabulary = build(TRAIN, vectors("x"), "train+vectors", 4, 1)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b"]
    assert vocabulary.counts.tolist() == [0, 2, 3, 2]


def test_min_count():
    vocabulary = build(TRAIN, vectors("x"), "train", 100, 2)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b"]
    assert vocabulary.counts.tolist() == [0, 2, 3, 2]
    with pytest.raises(InputError, match="no training word occurs 9 times"):
        build(TRAIN, vectors("x"), "train", 100, 9)


def test_vectors_words_follow_in_their_order_up_to_max_size():
    known = vectors("z", "b", "y", "x", "<unk>", "<pad>", "w")
    vocabulary = build(TRAIN, known, "train+vectors", 9, 1)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b", "c", "d", "z", "y", "x"]
    assert vocabulary.counts.tolist() == [0, 0, 3, 2, 1, 1, 0, 0, 0]
    assert vocabulary.train_rows == 6
    assert build(TRAIN, known, "train+vectors", 100, 1).words[6:] == ["z", "y", "x", "w"]


def test_only_the_frequent_words_of_the_vectors_are_added():
    known = vectors("z", "y", "x", frequent=2)
    assert build(TRAIN, known, "train+vectors", 100, 1).words[6:] == ["z", "y"]


def test_a_rare_training_word_that_the_vectors_bring_in_is_a_training_row():
    vocabulary = build(TRAIN, vectors("z", "d", "y"), "train+vectors", 100, 2)
    assert vocabulary.words == ["<pad>", "<unk>", "a", "b", "d", "z", "y"]
    assert vocabulary.counts.tolist() == [0, 1, 3, 2, 1, 0, 0]
    assert vocabulary.train_rows == 5


@settings(deadline=None)
@given(
    train=st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1), min_size=1),
    known=st.permutations("cdefghijkl"),
    frequent=st.integers(0, 10),
    policy=st.sampled_from(["train", "train+vectors"]),
    max_size=st.integers(3, 15),
    min_count=st.integers(1, 2),
    longest=st.integers(1, 3),
)
def test_counts_agree_with_the_rows_that_training_reads(
    train, known, frequent, policy, max_size, min_count, longest
):
    sources = vectors(*known, frequent=frequent)
    try:
        vocabulary = build(train, sources, policy, max_size, min_count, longest)
    except InputError:
        assert max(Counter(chain.from_iterable(train)).values()) < min_count
        return
    assert len(vocabulary) == len(set(vocabulary.words)) <= max_size
    rows = Counter(row for tokens in train for row in vocabulary.encode(tokens))
    assert [rows[row] for row in range(len(vocabulary))] == vocabulary.counts.tolist()
    assert all(row < vocabulary.train_rows for row in rows)
    counts = vocabulary.counts[2 : vocabulary.train_rows]
    assert (np.diff(counts) <= 0).all(), "methods rely on falling counts"
    for word in vocabulary.words:  # the words of an n-gram have rows, so that it has a first vector
        assert set(word.split(" ")) <= set(vocabulary.words)


def test_encode():
    vocabulary = build(TRAIN, vectors("z"), "train+vectors", 100, 1)
    assert vocabulary.encode(["z", "a", "never", "<unk>", "A"]) == [6, 2, 1, 1, 1]
    assert vocabulary.encode([]) == []


def test_a_text_cannot_name_the_padding_row():
    vocabulary = build([["<pad>", "<unk>", "a"]], vectors("a"), "train", 100, 1)
    assert vocabulary.words == ["<pad>", "<unk>", "a"]
    assert vocabulary.encode(["<pad>", "<unk>", "a"]) == [1, 1, 2]
    assert vocabulary.counts.tolist() == [0, 2, 1]


def test_table_holds_each_word_s_vector():
    known = vectors("z", "b", "a")
    vocabulary = build(TRAIN, known, "train+vectors", 100, 1)
    table, known_rows = embedding_table(vocabulary, known, seed=0)
    assert table.dtype == np.float32
    assert table.shape == (7, 3)
    assert known_rows.tolist() == [word in known.words for word in vocabulary.words]
    assert table[0].tolist() == [0, 0, 0]
    for word, row in zip(known.words, known.matrix, strict=True):
        assert table[vocabulary.words.index(word)].tolist() == row.tolist()
    assert table[[1, 4, 5]].all(), "<unk>, c and d start from a normal"


def test_only_unk_takes_its_vector_from_the_file():
    known = vectors("<unk>", "<pad>", "a")
    vocabulary = build(TRAIN, known, "train", 100, 1)
    table, known_rows = embedding_table(vocabulary, known, seed=0)
    assert table[1].tolist() == known.matrix[0].tolist()
    assert table[0].tolist() == [0, 0, 0]
    assert known_rows.tolist() == [word == "a" for word in vocabulary.words]


def test_words_without_a_vector_start_small_and_seeded():
    train = [[f"w{i}" for i in range(2000)]]
    nothing = WordVectors([], np.zeros((0, 50), np.float32), 0)
    vocabulary = build(train, nothing, "train+vectors", 10_000, 1)
    table, known_rows = embedding_table(vocabulary, nothing, seed=3)
    assert not known_rows.any()
    assert table[1:].std() == pytest.approx(0.01, rel=0.02)
    assert abs(table[1:].mean()) < 1e-4
    np.testing.assert_array_equal(embedding_table(vocabulary, nothing, seed=3)[0], table)
    assert not np.array_equal(embedding_table(vocabulary, nothing, seed=4)[0], table)


# a b occurs 3 times, b a and b c twice, a b a twice, all other n-grams once.
TEXTS = [["a", "b", "a"], ["a", "b", "a", "d"], ["b", "c"], ["b", "c", "a", "b"], ["a"]]


@pytest.mark.parametrize(
    ("longest", "min_count", "max_size", "words"),
    [
        (1, 1, 100, "a b c d"),
        (2, 1, 100, "a b a_b c b_a b_c d"),
        (2, 3, 100, "a b a_b"),
        (2, 1, 6, "a b a_b c"),
        (3, 2, 100, "a b a_b c a_b_a b_a b_c"),
    ],
)
def test_ngrams_that_occur_twice_are_rows_by_their_frequency(longest, min_count, max_size, words):
    vocabulary = build(TEXTS, vectors("x"), "train", max_size, min_count, longest)
    assert vocabulary.words[2:] == [word.replace("_", " ") for word in words.split()]
    assert vocabulary.is_ngram.tolist() == [" " in word for word in vocabulary.words]
    known = set(vocabulary.words)
    for tokens in TEXTS:
        pairs = [f"{a} {b}" for a, b in pairwise(tokens)]
        triples = [" ".join(t) for t in zip(tokens, tokens[1:], tokens[2:], strict=False)]
        read = [pairs, triples][: longest - 1]
        expected = [word if word in known else "<unk>" for word in tokens]
        expected += [ngram for ngrams in read for ngram in ngrams if ngram in known]
        assert [vocabulary.words[row] for row in vocabulary.encode(tokens)] == expected


def test_no_ngram_crosses_an_unknown_word_or_a_special_one():
    vocabulary = build([["a", "<unk>", "a"]] * 3, vectors("x"), "train", 100, 1, 2)
    assert vocabulary.words == ["<pad>", "<unk>", "a"]
    vocabulary = build([["a", "b"]] * 3, vectors("x"), "train", 100, 1, 2)
    assert vocabulary.encode(["a", "never", "b"]) == [2, 1, 3]


def test_an_ngram_starts_as_the_mean_of_its_words():
    known = vectors("a", "b", "b c", dim=2)
    vocabulary = build(TEXTS, known, "train", 100, 1, 2)
    table, known_rows = embedding_table(vocabulary, known, seed=0)
    start = dict(zip(vocabulary.words, table, strict=True))
    assert start["a b"].tolist() == [2, 3]  # of 1, 2 and 3, 4
    np.testing.assert_allclose(start["b a"], start["a b"])
    assert start["b c"].tolist() == [5, 6], "it has a vector itself"
    assert known_rows.tolist() == [word in known.words for word in vocabulary.words]
    without, _ = embedding_table(build(TEXTS, known, "train", 100, 1), known, seed=0)
    for word, row in zip(["<pad>", "<unk>", "a", "b", "c", "d"], without, strict=True):
        assert start[word].tolist() == row.tolist(), "the same as without n-grams"


def test_ngrams_do_not_count_as_words_without_a_vector():
    texts = [["a", "b"]] * 5
    assert not coverage_warning(build(texts, vectors("a", "x"), "train", 9, 1, 2), vectors("a"))
