"""Prepared data: what is read from the cache equals what was stored."""

import csv
import logging
from dataclasses import replace

import pytest
import torch

from ccompress import storage
from ccompress.data.datasets.custom import Custom
from ccompress.data.prepare import Prepared, prepare
from ccompress.data.vectors.sources import Cooccurrence, File, Random

TEXTS = [("a b\nc", "x"), ("b,\tc\r\nd", "y"), ("c d\u2028e", "x"), ("e\x00f g", "y")] * 3


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "texts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *TEXTS])
    return Custom(
        name="custom",
        tokenizer="builtins.list",
        vectors="cooccurrence",
        train=str(path),
        test=str(path),
    )


@pytest.fixture
def prepared(dataset, tmp_path):
    def call(vectors=None):
        return prepare(
            dataset,
            vectors or Cooccurrence(dim=2),
            policy="train",
            max_size=100,
            min_count=1,
            root=tmp_path,
            cache=tmp_path / "cache",
            vectors_cache=tmp_path / "vectors",
            identity={"vectors": repr(vectors)},
        )

    return call


def stored(tmp_path):
    """The file of the stored result, which is the only one in its folder."""
    (path,) = (tmp_path / "cache").glob("*.safetensors")
    return path


def same(one: Prepared, other: Prepared) -> bool:
    return (
        (one.words, one.labels, one.warning) == (other.words, other.labels, other.warning)
        and torch.equal(one.table, other.table)
        and torch.equal(one.counts, other.counts)
        and all(
            torch.equal(getattr(one.splits[name], field), getattr(other.splits[name], field))
            for name in ("train", "dev", "test")
            for field in ("tokens", "lengths", "labels")
        )
    )


def test_words_with_any_characters_are_stored_exactly(prepared, dataset, monkeypatch):
    first = prepared()
    assert {"\n", "\t", "\r", "\u2028", "\x00", " ", ","} <= set(first.words)
    monkeypatch.setattr(dataset, "load", None)  # the second call does not read the texts
    assert same(prepared(), first)


def test_an_inconsistent_result_is_made_again(prepared, tmp_path, caplog):
    first = prepared()
    path = stored(tmp_path)
    tensors, metadata = storage.load_numpy(path)
    tensors["words"] = storage.json_array([*first.words, "one more"])
    storage.save(path, tensors, metadata)
    assert same(prepared(), first)
    assert f"{len(first.words) + 1} words, " in caplog.text
    again = storage.load_numpy(path)[0]["words"]
    assert storage.from_json_array(again) == first.words


@pytest.mark.parametrize(
    "damage", [lambda contents: contents[:-5], lambda contents: b"", bytes.lower]
)
def test_a_damaged_result_is_made_again(prepared, tmp_path, damage, caplog):
    first = prepared()
    path = stored(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert same(prepared(), first)
    assert "making it anew" in caplog.text
    assert path.is_file()


def test_parts_that_do_not_fit_together_are_refused(prepared):
    prepared_data = prepared()
    with pytest.raises(ValueError, match="words"):
        replace(prepared_data, words=prepared_data.words[1:])
    short = replace(prepared_data.splits["dev"], lengths=prepared_data.splits["dev"].lengths + 1)
    with pytest.raises(ValueError, match="the dev split"):
        replace(prepared_data, splits={**prepared_data.splits, "dev": short})


def test_vectors_that_cover_few_words_give_a_warning_each_time(prepared, tmp_path, caplog):
    path = tmp_path / "upper.txt"
    path.write_text("A 1 2\nB 3 4\n, 5 6\nC 7 8\nD 9 8\n", encoding="utf-8")
    for _ in range(2):
        caplog.clear()
        prepared(File(path=str(path)))
        (record,) = (r for r in caplog.records if r.levelno >= logging.WARNING)
        assert (
            "1 of the 14 most frequent training words have a vector; the text has "
            "'c', ' ', 'd', the vectors have 'A', 'B', 'C': do they differ in case or language?"
            in record.message
        )


@pytest.mark.parametrize("vectors", [Cooccurrence(dim=2), Random(dim=2)])
def test_no_warning_if_the_vectors_cover_the_words_or_have_none(prepared, vectors, caplog):
    assert prepared(vectors).table.isfinite().all()
    assert not caplog.records


def test_a_result_holds_only_the_rows_that_are_used(prepared, tmp_path):
    path = tmp_path / "many.txt"
    words = [*"abcdefg", *(f"word{i}" for i in range(3000))]
    path.write_text("".join(f"{word} 1 2 3 4\n" for word in words), encoding="utf-8")
    first = prepared(File(path=str(path)))
    assert len(first.words) < 20
    assert stored(tmp_path).stat().st_size < 10_000
    (vectors_file,) = (tmp_path / "vectors").glob("*.safetensors")
    assert vectors_file.stat().st_size > 16 * len(words)


def test_the_share_of_tokens_with_a_vector_is_that_of_train(prepared, tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("a 1 2\nb 3 4\n<unk> 5 6\n", encoding="utf-8")
    prepared_data = prepared(File(path=str(path)))
    tokens = [prepared_data.words[row] for row in prepared_data.splits["train"].tokens]
    assert prepared_data.tokens_with_vector == sum(token in ("a", "b") for token in tokens) / len(
        tokens
    )
    assert prepared(File(path=str(path))).tokens_with_vector == prepared_data.tokens_with_vector
