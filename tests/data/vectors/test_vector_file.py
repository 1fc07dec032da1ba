import gzip
import random
import ssl
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ccompress.data.vectors import plain_lines, vector_file
from ccompress.errors import InputError

GLOVE = b"the 0.5 -1.25 3e-2\n, 1 2 3\nna\xc3\xafve -0 0.1 7\n"
WORDS = ["the", ",", "naïve"]
MATRIX = np.array([[0.5, -1.25, 0.03], [1, 2, 3], [0, 0.1, 7]], np.float32)


@pytest.fixture(
    autouse=True,
    params=[(1 << 20, 1 << 30), (1 << 20, 0), (16, 0)],
    ids=["line by line", "a block", "small blocks"],
)
def way_of_reading(request, monkeypatch):
    """The three ways of reading give the same result. All tests of this file run with each."""
    block, plain = request.param
    monkeypatch.setattr(vector_file, "_BLOCK_BYTES", block)
    monkeypatch.setattr(vector_file, "_PLAIN_BYTES", plain)


@pytest.mark.parametrize(
    "contents",
    [
        GLOVE,
        gzip.compress(GLOVE),
        b"3 3\n" + GLOVE,
        b"\xef\xbb\xbf" + GLOVE,
        gzip.compress(b"\xef\xbb\xbf3 3\n" + GLOVE),
        GLOVE.replace(b" ", b"\t", 1),
        GLOVE.replace(b" ", b"\t"),
        b"3\t3\n" + GLOVE.replace(b" ", b"  "),
        GLOVE.replace(b"\n", b" \n"),  # the lines of word2vec end with a space
        GLOVE.replace(b"\n", b"\r\n"),
        GLOVE.rstrip(b"\n"),
    ],
    ids=[
        "glove",
        "gzip",
        "word2vec",
        "byte order mark",
        "byte order mark, gzip, word2vec",
        "tab after one word",
        "tabs",
        "columns set apart",
        "blanks at line ends",
        "crlf",
        "no last line feed",
    ],
)
def test_formats(tmp_path, contents):
    path = tmp_path / "vectors"
    path.write_bytes(contents)
    words, matrix = vector_file.read(path)
    assert words == WORDS
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, MATRIX)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_any_dimension(tmp_path, dim):
    path = tmp_path / "vectors"
    path.write_text("".join(f"w{i}{' 1.5' * dim}\n" for i in range(4)), encoding="utf-8")
    assert vector_file.read(path)[1].shape == (4, dim)


# The first three are from glove.840B. Vectors that were converted from word2vec have the next four:
# a phrase, a phrase that ends in a number, a phrase of numbers, and a space.
HARD_WORDS = [
    ". . .",
    "to name@domain.com",
    "\u00a0",
    "new york",
    "web 2.0",
    "1 000 000",
    " ",
    "a\u00a0b",
    "c\u0085d",
    "e\u2028f",
    "12",
    "g\x0bh",
    "\t",
    "\r",
    "  ",
    " the",
    "nan",
]


@pytest.mark.parametrize("header", ["", "{} 3\n"])
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_any_word_is_read_exactly(tmp_path, header, separator):
    words = ["the", "of", *HARD_WORDS]
    path = tmp_path / "vectors"
    rows = [separator.join([word, f"{i}", "-0.5", "1e-3"]) for i, word in enumerate(words)]
    text = header.format(len(words)) + "\n".join(rows)
    path.write_text(text, encoding="utf-8", newline="")
    read, matrix = vector_file.read(path)
    assert read == words
    assert matrix[:, 0].tolist() == list(range(len(words)))


@pytest.mark.parametrize(
    "words", [[" ", "a", "b"], ["12", "3", "4"], ["web 2.0", "of", "a"], ["a b c", "1 2 3", "of"]]
)
def test_the_dimension_is_that_of_most_of_the_first_lines(tmp_path, words):
    path = tmp_path / "vectors"
    path.write_text("".join(f"{word} 1 2\n" for word in words), encoding="utf-8")
    read, matrix = vector_file.read(path)
    assert (read, matrix.shape) == (words, (3, 2))


def test_a_wrong_count_in_the_header_does_no_harm(tmp_path, caplog):
    # wiki-news-300d-1M-subword.vec holds 999,999 words and promises 1,000,000.
    path = tmp_path / "vectors"
    path.write_bytes(b"4 3\n" + GLOVE)
    assert vector_file.read(path)[0] == WORDS
    assert "promises 4 words on line 1 but holds 3" in caplog.text
    caplog.clear()
    path.write_bytes(b"2 3\n" + GLOVE)
    assert vector_file.read(path)[0] == WORDS
    assert not caplog.records


def test_words_that_are_not_utf_8_are_left_out_with_a_warning(tmp_path, caplog):
    path = tmp_path / "vectors"
    path.write_bytes(b"4 2\na 1 1\ncaf\xe9 2 2\n\xff 3 3\nb 4 4\n")
    words, matrix = vector_file.read(path)
    assert (words, matrix.tolist()) == (["a", "b"], [[1, 1], [4, 4]])
    assert "not UTF-8: 2, the first on line 3" in caplog.text


def test_the_first_of_a_word_s_vectors_counts(tmp_path):
    path = tmp_path / "vectors"
    path.write_bytes(b"4 2\nb 1 1\na 2 2\nb 3 3\nc 4 4\n")
    words, matrix = vector_file.read(path)
    assert words == ["b", "a", "c"]
    assert matrix.tolist() == [[1, 1], [2, 2], [4, 4]]


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_numbers_are_read_exactly(tmp_path_factory, matrix):
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    rows = [" ".join([f"w{i}", *map(repr, row.tolist())]) for i, row in enumerate(matrix)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    np.testing.assert_array_equal(vector_file.read(path)[1], matrix)


@pytest.mark.parametrize("line_end", [b"\n", b" \n"])
def test_plain_lines_are_parsed_as_a_block(line_end):
    lines = [b"the 0.5 -1.25 3e-2", b'" 1 2 3', b"NA -0 0.1 7", b"\xff .5 5. +1"]
    words, matrix = plain_lines.parse(line_end.join(lines) + line_end, 3)
    assert words == [b"the", b'"', b"NA", b"\xff"]
    assert matrix.tolist()[1:] == [[1, 2, 3], [-0.0, np.float32(0.1), 7], [0.5, 5, 1]]


PLAIN_FIELDS = st.one_of(
    st.floats().map(repr),
    st.floats(width=32).map(lambda number: f"{number:.5g}"),
    st.decimals(places=40, min_value=-1, max_value=1).map("{:f}".format),
)
HARD_FIELDS = st.one_of(
    PLAIN_FIELDS,
    st.sampled_from(["1e400", "-1e-400", "+1", ".5", "5.", "1_0", "0x1", "NA", "", "1e", "9" * 40]),
)


def lines_of(words, fields, ends):
    """Lines that consist of a word, two fields and an end."""
    lines = st.tuples(words, st.lists(fields, min_size=2, max_size=2), ends)
    return lines.map(lambda line: " ".join([line[0], *line[1]]) + line[2])


LINES_OF_ALL_KINDS = st.lists(
    st.one_of(
        lines_of(
            st.text(st.sampled_from("ab\"'#,;\\0.1\0\ufeffé\u00a0")), PLAIN_FIELDS, st.just("")
        ),
        lines_of(
            st.text(st.sampled_from("a0.1 \t\r\v\f"), max_size=4),
            HARD_FIELDS,
            st.sampled_from(["", " ", "\r", "\t"]),
        ),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(LINES_OF_ALL_KINDS, st.sampled_from(["", "\n"]))
def test_a_block_of_lines_is_read_exactly_as_line_by_line(lines, end):
    contents = ("\n".join(lines) + end).encode()
    plain = plain_lines.parse(contents, 2)
    if plain is not None:
        words, matrix = vector_file._parsed_by_line(Path("vectors.txt"), 2, (1, contents))
        assert [word.decode() for word in plain[0]] == words
        assert plain[1].tobytes() == matrix.tobytes()


def test_a_bad_line_deep_in_a_file_is_named_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_file, "_BLOCK_BYTES", 1000)
    lines = [b"w%d 1 2\n" % number for number in range(1, 1001)]
    lines[699] = b"new york 1 2\n"
    path = tmp_path / "vectors"
    path.write_bytes(b"".join(lines))
    assert vector_file.read(path)[0][699] == "new york"
    lines[899] = b"w900 1 x\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"line 900: .*'x'"):
        vector_file.read(path)
    packed = gzip.compress(random.Random(0).randbytes(9000).hex().encode() + b"\n")
    path.write_bytes((gzip.compress(b"".join(lines[:899])) + packed)[:-3000])
    with pytest.raises(InputError, match=r"damaged gzip file \(line 900 cannot be read\)"):
        vector_file.read(path)


def test_agrees_with_torchtext(tmp_path, monkeypatch):
    from torchtext.vocab import Vectors

    # torchtext turns off TLS verification for the whole process; this restores it.
    monkeypatch.setattr(
        ssl, "_create_default_https_context", ssl._create_default_https_context, raising=True
    )
    rows = np.random.default_rng(0).standard_normal((50, 20))
    text = "".join(f"w{i} {' '.join(f'{x:.5f}' for x in row)}\n" for i, row in enumerate(rows))
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    words, matrix = vector_file.read(path)
    reference = Vectors(str(path), cache=str(tmp_path / "cache"))
    assert words == reference.itos
    np.testing.assert_array_equal(matrix, reference.vectors.numpy())


LINES = [b"a 1 2 3\n", b"b 4 5 6\n", b"c 7 8 9\n"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is empty"),
        (b"3 3\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"".join(LINES) + b"d 1 2\n", r"line 4: 2 numbers after the word; .* 3 numbers"),
        (LINES[0] + b"b .4 .5 6 7 8\n" + LINES[2], r"line 2: 5 fields .* 3 numbers,"),
        (LINES[0] + b"b .4 .5 .6c 7 8 9\n", r"line 2: 6 fields .* 3 numbers,"),
        (b"3 4\n" + b"".join(LINES), r"line 2: 3 numbers .* 4 numbers"),
        (LINES[0] + b"b\n", "line 2: 0 numbers"),
        (LINES[0] + b"\n" + LINES[1], "line 2: 0 numbers"),
        (b"word\n", "line 1: 0 numbers"),
        (LINES[0] + b" 4 5 6\n", "line 2"),
        (LINES[0] + b"\t4 5 6\n", "line 2: 3 numbers after the word"),
        (LINES[0] + b"b 4 x 6\n", "line 2: .*'x'"),
        (LINES[0] + b"b 4 nan 6\n", "line 2: a number is not finite"),
        (b"2 3\n" + LINES[0] + b"b 4 1e99 6\n", "line 3: a number is not finite"),
        (LINES[0] + b"b 4 5", "line 2: 2 numbers.*is it truncated"),
        (LINES[0] + b"new york 4 5", "line 2: .*'york'.*is it truncated"),
        (b"4 3\n" + LINES[0] + b"b 4 5", "line 3: 2 numbers.*is it truncated"),
        (b"2 3\nthe \x00\x00\x80?\x01\x02\n", "line 2: not UTF-8 text"),
        (b"PK\x03\x04\x14\x00\x00\x00" + bytes(range(256)), "line 1: not UTF-8 text"),
        (gzip.compress(b"".join(LINES) * 500, mtime=0)[:-20], r"truncated or damaged gzip"),
        (gzip.compress(b"".join(LINES), mtime=0)[:-8] + bytes(8), r"truncated or damaged gzip"),
        (b"\x1f\x8b" + b"nothing like gzip", r"truncated or damaged gzip"),
    ],
)
def test_a_bad_file_gives_an_error_of_one_line(tmp_path, contents, message):
    path = tmp_path / "bad vectors.txt"
    path.write_bytes(contents)
    with pytest.raises(InputError, match=message) as caught:
        vector_file.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way_of_reading", [(1 << 20, 1 << 30), (1 << 20, 0)], indirect=True)
def test_glove_as_it_is_published(real_data):
    path = real_data / "vectors" / "glove.6B.100d.subset.txt.gz"
    words, matrix = vector_file.read(path)
    assert matrix.shape == (86_748, 100)
    assert words[:3] == ["the", ",", "."]
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        word, *numbers = next(lines).split(" ")
    assert (word, np.float32(numbers).tolist()) == ("the", matrix[0].tolist())
