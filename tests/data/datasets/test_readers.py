"""The readers: the numbers of the real data sets, and errors of damaged or incomplete ones."""

import dataclasses
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ccompress.data.base import Dataset, Splits
from ccompress.data.datasets import imdb, sst
from ccompress.data.datasets.clinc150 import SOURCE as CLINC150_SOURCE
from ccompress.data.datasets.clinc150 import Clinc150
from ccompress.data.datasets.imdb import Imdb
from ccompress.data.datasets.published import Published
from ccompress.data.datasets.snips import SOURCE as SNIPS_SOURCE
from ccompress.data.datasets.snips import Snips
from ccompress.data.datasets.sst import SST2
from ccompress.data.datasets.trec import SOURCE as TREC_SOURCE
from ccompress.data.datasets.trec import Trec
from ccompress.errors import InputError

OPTIONS = {"tokenizer": "treebank", "vectors": "glove"}


def sizes(splits: Splits) -> tuple[int, int, int, int]:
    return len(splits.train), len(splits.dev), len(splits.test), len(set(splits.train.labels))


def put(root: Path, path: str, contents: str | bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(contents if isinstance(contents, bytes) else contents.encode())


# The Stanford Sentiment Treebank


def test_sst2_has_the_published_numbers(real_data: Path) -> None:
    splits = SST2(name="sst2", **OPTIONS).load(real_data)
    assert sizes(splits) == (6_920, 872, 1_821, 2) == sst.SOURCE.sizes
    assert len({token for tokens in splits.train.tokens for token in tokens}) == 14_828
    assert [len(sst._trees(real_data, split)) for split in ("train", "dev", "test")] == [
        *(8_544, 1_101, 2_210)
    ]
    assert (
        splits.dev.tokens[0]
        == "it 's a lovely film with lovely performances by buy and accorsi .".split()
    )
    assert splits.dev.labels[0] == "positive"


def test_sst2_trains_on_the_distinct_phrases(real_data: Path) -> None:
    sentences = SST2(name="sst2", **OPTIONS).load(real_data)
    splits = SST2(name="sst2", phrases=True, **OPTIONS).load(real_data)
    assert sizes(splits) == (77_201, 872, 1_821, 2)
    assert (splits.dev, splits.test) == (sentences.dev, sentences.test)
    pairs = {
        (" ".join(tokens), label)
        for tokens, label in zip(splits.train.tokens, splits.train.labels, strict=True)
    }
    texts = Counter(text for text, _ in pairs)
    assert len(pairs) == 77_201
    assert sum(number == 2 for number in texts.values()) == 6  # six phrases have both labels
    pairs_of_sentences = zip(sentences.train.tokens, sentences.train.labels, strict=True)
    assert {(" ".join(tokens), label) for tokens, label in pairs_of_sentences} <= pairs
    trees = (real_data / "sst" / "trees" / "train.txt").read_text("utf-8")
    assert sum(trees.count(f"({label} ") for label in "0134") == 98_794


TREES = (
    "(3 (2 It) (4 (2 's) (4 (2 -LRB-) (1 Awful\\/bad))))\n"
    "(2 (2 So) (2 it))\n"
    "(1 (2 it) (4 (2 's) (0 2\u00a01\\/2)))\n"
)


def test_sst2_reads_sentences_and_phrases_of_trees(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        put(tmp_path, f"sst/trees/{split}.txt", TREES)
    splits = SST2(name="sst2", **OPTIONS).read(tmp_path)
    assert splits.train == splits.dev == splits.test
    assert splits.train.tokens == [["it", "'s", "(", "awful/bad"], ["it", "'s", "2", "1/2"]]
    assert splits.train.labels == ["positive", "negative"]
    phrases = SST2(name="sst2", phrases=True, **OPTIONS).read(tmp_path).train
    assert list(zip(map(" ".join, phrases.tokens), phrases.labels, strict=True)) == [
        ("awful/bad", "negative"),
        ("( awful/bad", "positive"),
        ("'s ( awful/bad", "positive"),
        ("it 's ( awful/bad", "positive"),
        ("2 1/2", "negative"),
        ("'s 2 1/2", "positive"),
        ("it 's 2 1/2", "negative"),
    ]


@pytest.mark.parametrize("line", ["(3 (2 It) (4 works)", "(3 (2 It))) (2 x)", "It works", "(7 It)"])
def test_sst2_names_the_line_that_is_no_tree(tmp_path: Path, line: str) -> None:
    put(tmp_path, "sst/trees/train.txt", f"(3 (2 It) (4 works))\n{line}\n")
    with pytest.raises(InputError, match=r"train.txt line 2 is not a"):
        SST2(name="sst2", **OPTIONS).read(tmp_path)


def test_sst2_refuses_another_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave it at treebank"):
        SST2(name="sst2", tokenizer="whitespace", vectors="glove").read(tmp_path)


# TREC, SNIPS, CLINC150


def test_trec_has_the_published_numbers(real_data: Path) -> None:
    splits = Trec(name="trec", **OPTIONS).load(real_data)
    assert sizes(splits) == TREC_SOURCE.sizes
    assert len(splits.train) + len(splits.dev) == 5_452
    assert len(splits.test) == 500
    assert set(splits.train.labels) == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
    assert splits.test.tokens[0] == "how far is it from denver to aspen ?".split()
    assert splits.test.labels[0] == "NUM"
    upstream = Counter(
        line.partition(":")[0]
        for line in (real_data / "trec/train_5500.label").read_text("ISO-8859-1").splitlines()
    )
    assert Counter(splits.dev.labels) == {
        label: round(number / 10) for label, number in upstream.items()
    }


def test_trec_names_a_line_without_a_label(tmp_path: Path) -> None:
    put(tmp_path, "trec/train_5500.label", "LOC:city Where is it ?\nWhere is it ?\n")
    with pytest.raises(InputError, match=r"train_5500.label line 2 is not `COARSE:fine question`"):
        Trec(name="trec", **OPTIONS).read(tmp_path)


def test_snips_has_the_published_numbers(real_data: Path) -> None:
    splits = Snips(name="snips", **OPTIONS).load(real_data)
    assert sizes(splits) == SNIPS_SOURCE.sizes
    assert len(splits.train) + len(splits.dev) == 13_784
    assert Counter(splits.test.labels) == dict.fromkeys(set(splits.train.labels), 100)
    assert {"RateBook", "SearchCreativeWork"} <= set(splits.train.labels)
    words = {token for tokens in splits.train.tokens + splits.dev.tokens for token in tokens}
    # One file is not proper UTF-8, and still keeps its accents and its emoji.
    assert {"música", "\N{SLICE OF PIZZA}"} <= words
    assert not any("Ã" in word or "\ufffd" in word for word in words)


def test_clinc150_has_the_published_numbers(real_data: Path) -> None:
    splits = Clinc150(name="clinc150", **OPTIONS).load(real_data)
    assert sizes(splits) == (15_000, 3_000, 4_500, 150) == CLINC150_SOURCE.sizes
    assert set(Counter(splits.train.labels).values()) == {100}
    assert "oos" not in splits.train.labels


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ("[1, 2", "data_full.json is not JSON"),
        ('{"train": []}', r"data_full.json has not the form .* KeyError\('val'\)"),
        ('{"train": [["a text"]], "val": [], "test": []}', "has not the form"),
        ('{"train": [[1, "x"]], "val": [], "test": []}', "has not the form"),
        ("\xff", "data_full.json is not UTF-8"),
    ],
)
def test_clinc150_refuses_another_file(tmp_path: Path, contents: str, complaint: str) -> None:
    put(tmp_path, "clinc150/data_full.json", contents.encode("ISO-8859-1"))
    with pytest.raises(InputError, match=complaint):
        Clinc150(name="clinc150", **OPTIONS).read(tmp_path)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (json.dumps({"Other": []}), "AddToPlaylist_full.json has not the form of a SNIPS file"),
        (json.dumps({"AddToPlaylist": [{"data": [{}]}]}), "has not the form of a SNIPS file"),
        (b"\xff", "AddToPlaylist_full.json is not UTF-8"),
    ],
)
def test_snips_refuses_another_file(tmp_path: Path, contents: Any, complaint: str) -> None:
    for file in SNIPS_SOURCE.files:
        put(tmp_path, file.path, contents)
    with pytest.raises(InputError, match=complaint):
        Snips(name="snips", **OPTIONS).read(tmp_path)


# IMDB


def test_imdb_has_the_published_numbers(real_data: Path) -> None:
    splits = Imdb(name="imdb", tokenizer="whitespace", vectors="glove").load(real_data)
    assert sizes(splits) == (22_500, 2_500, 25_000, 2) == imdb.SOURCE.sizes
    assert Counter(splits.test.labels) == {"pos": 12_500, "neg": 12_500}
    assert Counter(splits.dev.labels) == {"pos": 1_250, "neg": 1_250}


REVIEWS = {
    f"aclImdb/{split}/{label}/{number}_{rating}.txt": f"{split} review {number} is {label}<br />so"
    for split in ("train", "test")
    for label, rating in (("pos", 9), ("neg", 2))
    for number in range(4)
}
OTHER_MEMBERS = {"aclImdb/train/unsup/0_0.txt": "never read", "aclImdb/README": "about"}


def archive_of(files: dict[str, str], prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(contents.encode())
            archive.addfile(member, io.BytesIO(contents.encode()))
    return buffer.getvalue()


def test_imdb_is_the_same_from_archive_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imdb, "REVIEWS_PER_SPLIT", 8)
    files = {**OTHER_MEMBERS, **REVIEWS}
    backwards = dict(reversed(files.items()))
    put(tmp_path / "1", "imdb/aclImdb_v1.tar.gz", archive_of(files))
    put(tmp_path / "2", "imdb/aclImdb_labelled.tar.gz", archive_of(backwards, "./"))
    for name, contents in files.items():
        put(tmp_path / "3", f"imdb/{name}", contents)
    read = [Imdb(name="imdb", **OPTIONS).read(tmp_path / root) for root in "123"]
    assert read[0] == read[1] == read[2]
    assert sizes(read[0]) == (6, 2, 8, 2)
    assert read[0].test.tokens[0] == ["test", "review", "0", "is", "neg", "so"]


def test_imdb_refuses_what_is_damaged_or_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imdb, "REVIEWS_PER_SPLIT", 8)
    dataset = Imdb(name="imdb", **OPTIONS)
    archive = archive_of(REVIEWS)
    for contents in (archive[: len(archive) // 2], b"", b"<html>", archive[:30]):
        put(tmp_path, "imdb/aclImdb_v1.tar.gz", contents)
        with pytest.raises(InputError, match=r"aclImdb_v1.tar.gz (is damaged|holds . train)"):
            dataset.read(tmp_path)
    some = dict(list(REVIEWS.items())[:-1])
    put(tmp_path, "imdb/aclImdb_v1.tar.gz", archive_of(some))
    with pytest.raises(InputError, match="holds 7 test reviews, not 8"):
        dataset.read(tmp_path)


# All data sets

READERS = [
    SST2(name="sst2", **OPTIONS),
    Trec(name="trec", **OPTIONS),
    Snips(name="snips", **OPTIONS),
    Clinc150(name="clinc150", **OPTIONS),
    Imdb(name="imdb", **OPTIONS),
]


@pytest.mark.parametrize("dataset", READERS, ids=lambda dataset: dataset.name)
def test_the_error_of_missing_data_names_the_command_that_fetches_them(
    dataset: Dataset, tmp_path: Path
) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=f"run: ccompress data fetch {dataset.name}$"):
            dataset.load(root)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data root .*file is not a folder"):
        dataset.load(tmp_path / "file")


@pytest.mark.parametrize("dataset", READERS, ids=lambda dataset: dataset.name)
def test_other_contents_than_the_published_ones_are_refused(
    dataset: Published, tmp_path: Path
) -> None:
    dataset.verify(tmp_path)  # without files, nothing is wrong
    for path in reversed(dataset.source.chosen(tmp_path)):
        put(tmp_path, path, "cut short")
        with pytest.raises(InputError, match=f"{path} is not what .* data fetch {dataset.name};"):
            dataset.load(tmp_path)


def test_an_unpacked_folder_is_recognised_by_its_reviews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in "12":
        for name, contents in REVIEWS.items():
            put(tmp_path / root, f"imdb/{name}", contents)
    put(tmp_path / "2", "imdb/aclImdb/README", "is not read")
    checksum = imdb.SOURCE.sha256(tmp_path / "1", "imdb/aclImdb")
    source = dataclasses.replace(imdb.SOURCE, alternatives={"imdb/aclImdb": checksum})
    monkeypatch.setattr(Imdb, "source", source)
    dataset = Imdb(name="imdb", **OPTIONS)
    dataset.verify(tmp_path / "2")
    put(tmp_path / "3", "imdb/aclImdb/test/neg/0_2.txt", "another review")
    with pytest.raises(InputError, match=r"imdb/aclImdb is not what imdb was published with"):
        dataset.verify(tmp_path / "3")


def test_the_sizes_of_the_splits_are_checked(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = dataclasses.replace(TREC_SOURCE, sizes=(4906, 546, 501, 6))
    monkeypatch.setattr(Trec, "source", source)
    with pytest.raises(ValueError, match=r"trec was read with the sizes \(4906, 546, 500, 6\)"):
        Trec(name="trec", **OPTIONS).load(real_data)


def test_a_data_root_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the data root"):
        Trec(name="trec", **OPTIONS).load(tmp_path / ("x" * 300))
