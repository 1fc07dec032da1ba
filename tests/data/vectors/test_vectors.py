import errno
import gzip
from pathlib import Path

import numpy as np
import pytest

from ccompress import storage
from ccompress.data.vectors import imdb_glove, vector_file
from ccompress.data.vectors.sources import Auto, Cooccurrence, File, Glove, ImdbGlove, Random
from ccompress.errors import InputError, MissingData

TEXT = [["a", "b", "c"], ["b", "c", "d"], ["c", "d", "e"]]


def write(path, dim=3, n=4, value=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"w{i}{f' {value + i}' * dim}\n" for i in range(n)).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize(
    ("auto", "default", "expected"),
    [
        (Auto(), "glove", Glove(dim=100)),
        (Auto(dim=50), "glove", Glove(dim=50)),
        (Auto(path="x.txt"), "glove", File(path="x.txt")),
        (Auto(path="x.txt", dim=7), "glove", File(path="x.txt", dim=7)),
        (Auto(), "cooccurrence", Cooccurrence(dim=300)),
        (Auto(dim=20), "cooccurrence", Cooccurrence(dim=20)),
        (Auto(path="x.txt"), "cooccurrence", Cooccurrence(dim=300)),
    ],
)
def test_auto(auto, default, expected):
    assert auto.resolve(default) == expected


def test_auto_knows_only_two_defaults():
    with pytest.raises(InputError, match="'glove' or 'cooccurrence', not 'elmo'"):
        Auto().resolve("elmo")


def test_the_committed_vectors_are_found_from_any_folder_of_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the package runs from its clone
    clone = Path(__file__).parents[3]
    file = File(path=str(clone / "results" / "vectors" / "imdb-glove.300d.txt.gz"))
    assert ImdbGlove().resolve("glove") == file
    # An installed package belongs to no clone, but the current folder may be in one.
    installed = tmp_path / "site-packages" / "ccompress" / "data" / "vectors" / "imdb_glove.py"
    monkeypatch.setattr(imdb_glove, "__file__", str(installed))
    with pytest.raises(MissingData, match=r"clone the repository.* or .*vectors=glove300"):
        ImdbGlove().resolve("glove")
    assert ImdbGlove().resolve("cooccurrence") == Cooccurrence(dim=300)
    monkeypatch.chdir(clone / "tests" / "data")
    assert ImdbGlove().resolve("glove") == file


def test_glove_is_in_the_root_or_its_folder_and_complete_files_come_before_subsets(tmp_path):
    names = ["glove.6B.50d.subset.txt.gz", "glove.6B.50d.txt.gz", "glove.6B.50d.txt"]
    for n, name in enumerate(names, start=2):
        for folder in (tmp_path / "vectors", tmp_path):
            path = write(folder / name, dim=50, n=n)
            assert Glove(dim=50).files(tmp_path) == {"path": path}
            loaded = Glove(dim=50).load(tmp_path, tmp_path / "cache", [])
            assert loaded.matrix.shape == (n, 50)


def test_missing_glove_vectors_are_named(tmp_path):
    write(tmp_path / "glove.6B.50d.txt", dim=50)
    with pytest.raises(InputError, match=r"glove\.6B\.100d.*run: ccompress data fetch glove"):
        Glove().load(tmp_path, tmp_path, [])
    with pytest.raises(InputError, match=r"dimension 128.*50, 100, 200, 300"):
        Glove(dim=128)


def test_the_dimension_of_a_file_is_checked(tmp_path):
    path = write(tmp_path / "mine.txt", dim=3)
    assert File(path=str(path)).load(tmp_path, tmp_path, []).matrix.shape == (4, 3)
    assert File(path=str(path), dim=3).load(tmp_path, tmp_path, []).matrix.shape == (4, 3)
    with pytest.raises(InputError, match="dimension 3, not 300"):
        File(path=str(path), dim=300).load(tmp_path, tmp_path, [])


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(InputError, match=f"cannot read the vectors file {path}: "):
            File(path=str(path)).load(tmp_path, tmp_path, [])
    with pytest.raises(InputError, match=r"vectors\.path=FILE"):
        File(path=None)


def test_a_file_is_parsed_once(tmp_path, monkeypatch):
    path = write(tmp_path / "mine.txt")
    first = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    monkeypatch.setattr(vector_file, "read", None)
    again = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    assert (again.words, again.frequent, again.sha256) == (first.words, 4, first.sha256)
    np.testing.assert_array_equal(again.matrix, first.matrix)


def test_the_cache_depends_on_the_contents_of_a_file_and_not_on_its_name(tmp_path):
    path = write(tmp_path / "mine.txt", value=1.0)
    before = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    write(path, value=2.0)
    after = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    assert (before.matrix[0, 0], after.matrix[0, 0]) == (1.0, 2.0)
    assert before.sha256 != after.sha256


def test_a_damaged_cache_is_made_again(tmp_path):
    path = write(tmp_path / "mine.txt")
    first = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    (stored,) = (tmp_path / "cache").glob("*.safetensors")
    contents = bytearray(stored.read_bytes())
    contents[-3] ^= 1
    stored.write_bytes(contents)
    again = File(path=str(path)).load(tmp_path, tmp_path / "cache", [])
    np.testing.assert_array_equal(again.matrix, first.matrix)


def test_vectors_are_read_even_if_they_cannot_be_cached(tmp_path, caplog, monkeypatch):
    path = write(tmp_path / "mine.txt")
    cache = tmp_path / "cache"
    cache.touch()  # so that the folder cannot be made
    reads = []
    read = vector_file.read
    monkeypatch.setattr(vector_file, "read", lambda path: reads.append(path) or read(path))
    assert File(path=str(path)).load(tmp_path, cache, []).matrix.shape == (4, 3)
    assert "vectors cannot be kept for later runs: " in caplog.text
    assert reads == [path]


def test_vectors_are_read_even_if_the_disk_of_the_cache_is_full(tmp_path, monkeypatch):
    path = write(tmp_path / "mine.txt")
    monkeypatch.setattr(storage, "save", lambda *_: raise_full())
    reads = []
    read = vector_file.read
    monkeypatch.setattr(vector_file, "read", lambda path: reads.append(path) or read(path))
    assert File(path=str(path)).load(tmp_path, tmp_path / "cache", []).matrix.shape == (4, 3)
    assert reads == [path]


def raise_full():
    raise OSError(errno.ENOSPC, "No space left on device")


def test_only_the_first_words_of_a_subset_count_as_the_most_frequent(real_data, tmp_path):
    path = real_data / "vectors" / "glove.6B.100d.subset.txt.gz"
    vectors = Glove().load(real_data, tmp_path, [])
    assert (len(vectors.words), vectors.frequent) == (86_748, 60_000)
    assert File(path=str(path)).load(real_data, tmp_path, []).frequent == 60_000


def test_a_small_subset_has_no_more_frequent_words_than_words(tmp_path):
    path = write(tmp_path / "mine.subset.txt")
    assert File(path=str(path)).load(tmp_path, tmp_path, []).frequent == 4


def test_cooccurrence_depends_only_on_text_dim_and_window(tmp_path):
    cache = tmp_path / "cache"

    def load(train=TEXT, **options):
        return Cooccurrence(**{"dim": 2, **options}).load(tmp_path, cache, train).matrix

    base = load()
    np.testing.assert_array_equal(load(), base)
    assert len(list(cache.glob("*.safetensors"))) == 1
    assert load(dim=3).shape == (5, 3)
    assert not np.array_equal(load(window=1), base)
    assert not np.array_equal(load(train=[*TEXT, ["a", "e"]]), base)
    assert len(list(cache.glob("*.safetensors"))) == 4


def test_words_with_any_characters_are_cached_exactly(tmp_path):
    train = [["a\nb", "c d", '"'], ["é", "\ud800", '"']]
    source = Cooccurrence(dim=2)
    first = source.load(tmp_path, tmp_path, train)
    assert source.load(tmp_path, tmp_path, train).words == first.words
    assert set(first.words) == {"a\nb", "c d", '"', "é", "\ud800"}


@pytest.mark.parametrize("options", [{"dim": 0}, {"window": 0}])
def test_options_below_one_are_refused(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} must be at least 1"):
        Cooccurrence(**options)


def test_random_knows_no_words(tmp_path):
    vectors = Random(dim=7).load(tmp_path, tmp_path, TEXT)
    assert (vectors.words, vectors.matrix.shape, vectors.frequent) == ([], (0, 7), 0)
    with pytest.raises(InputError, match="dim"):
        Random(dim=0)


def test_a_small_text_gets_fewer_dimensions_and_is_told_so(tmp_path, caplog):
    train = [f"w{i % 7} w{i % 5} w{i % 3}".split() for i in range(40)]
    few = Cooccurrence(dim=300).load(tmp_path, tmp_path, train)
    assert few.matrix.shape == (7, 6)
    (said,) = caplog.messages
    assert "has 6 dimensions here, not 300, because the training text has 7 distinct" in said
    assert (few.matrix == Cooccurrence(dim=6).load(tmp_path, tmp_path, train).matrix).all()
    assert len(caplog.messages) == 1


def test_where_glove_is_missing_the_error_names_what_needs_no_download(tmp_path):
    with pytest.raises(MissingData, match=r"data fetch glove, or set vectors=cooccurrence") as one:
        Glove().files(tmp_path)
    both = one.value + MissingData(tmp_path, {"sst2": "trees"})
    assert str(both).endswith("fetch glove sst2, or " + one.value.instead[0])
