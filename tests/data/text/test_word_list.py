"""Lists of words in compressed form."""

import bz2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccompress.data.text import word_list


@given(st.lists(st.text(st.characters())))
def test_any_words_are_unpacked_exactly(words):
    assert word_list.unpack(word_list.pack(words)) == words


def test_a_word_is_stored_without_the_bytes_that_it_shares_with_the_previous_one():
    words = ["a" * 20, "a" * 20 + "b", "é", "è", "", "\ud800\n"]
    coded = bz2.decompress(word_list.pack(words).tobytes())
    shared = [0, 12, 0, 1, 0, 0]  # at most 12; é and è share their first byte
    texts = [word.encode("utf-8", "surrogatepass") for word in words]
    marks = [0xC0, 0xC1, *range(0xF5, 0x100)]
    parts = (bytes([marks[n]]) + text[n:] for n, text in zip(shared, texts, strict=True))
    assert coded == b"".join(parts)


@pytest.mark.parametrize("packed", [b"hello", bz2.compress(b"abc" * 100)[:-8]])
def test_other_bytes_are_a_value_error(packed):
    with pytest.raises(ValueError, match=r"bzip2|end-of-stream"):
        word_list.unpack(np.frombuffer(packed, np.uint8))
