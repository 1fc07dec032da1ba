"""`ccompress data`: list, fetch and check, and the YAML files of the data sets."""

import dataclasses
import hashlib
import importlib
import io
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from upstream import Upstream

from ccompress.commands.data import main, sources
from ccompress.data.base import Dataset
from ccompress.data.downloads.source import File, Source
from ccompress.errors import InputError

CONF = Path(__file__).parents[2] / "conf" / "dataset"
FETCHED = {"sst2": "sst", "trec": "trec", "snips": "snips", "clinc150": "clinc150"}


def test_every_real_data_set_and_glove_say_where_they_come_from() -> None:
    known_sources = sources()
    assert {*FETCHED, "imdb", "glove"} <= set(known_sources)
    for source in known_sources.values():
        assert source.home
        assert source.licence
        for file in source.files:
            assert file.url.startswith("https://")
            assert len(file.sha256 or source.archives[file.url]) == 64


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_yaml_names_every_option_of_its_class(path: Path) -> None:
    options = OmegaConf.load(path)
    module, _, name = options.pop("_target_").rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    assert issubclass(kind, Dataset)
    assert options.name == path.stem
    assert set(options) == {field.name for field in dataclasses.fields(kind)}


def test_list_shows_which_data_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clinc150").mkdir()
    (tmp_path / "clinc150/data_full.json").touch()
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb/aclImdb_labelled.tar.gz").touch()
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec/TREC_10.label").touch()
    assert main(["list", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"data root: {tmp_path}" in printed
    assert (
        "clinc150: there, train 15,000, dev 3,000, test 4,500, classes 150, download 2.5 MB,"
        " licence CC BY 3.0\n" in printed
    )
    assert "snips: not there, train 12,406" in printed
    assert "imdb: there as imdb/aclImdb_labelled.tar.gz, train" in printed
    assert "trec: in part there, 1 of 2 files, train" in printed
    assert "https://nlp.stanford.edu/projects/glove/" in printed


def test_an_environment_variable_names_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCOMPRESS_DATA", str(tmp_path))
    assert main(["list"]) == 0
    assert f"data root: {tmp_path}\n" in capsys.readouterr().out


def test_check_finds_every_real_file_whole(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--root", str(real_data)]) == 0
    printed = capsys.readouterr().out
    for path in ("sst/trees/train.txt", "imdb/aclImdb_labelled.tar.gz", "trec/TREC_10.label"):
        assert f": {path}: whole\n" in printed
    assert printed.count(": whole\n") == 3 + 2 + 14 + 1 + 1 + 1
    assert "DAMAGED" not in printed
    assert "not there" not in printed


def test_check_finds_damaged_and_missing_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clinc150").mkdir()
    (tmp_path / "clinc150/data_full.json").write_text("{}", "utf-8")
    assert main(["check", "--root", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "clinc150: clinc150/data_full.json: DAMAGED" in printed
    assert "trec: trec/TREC_10.label: not there" in printed
    with pytest.raises(InputError, match="run: ccompress data fetch trec"):
        main(["check", "trec", "--root", str(tmp_path)])


def test_only_files_with_a_checksum_are_called_verified(
    upstream: Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If only the archive has a checksum, its files are verified only while they are fetched."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    url = f"{upstream.address}/a.zip"
    upstream.contents["/a.zip"] = buffer.getvalue()
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    source = Source("a", "a", url, "none", (File("a.txt", "", url, "a.txt"),), 0.1)
    source = dataclasses.replace(source, archives={url: sha256})
    monkeypatch.setattr("ccompress.commands.data.sources", lambda: {"a": source})
    for message in (
        f"a: 1 of 1 files fetched, SHA-256 verified, in {tmp_path}\n",
        f"a: there, SHA-256 verified except of a.txt (no checksum is known), in {tmp_path}\n",
    ):
        assert main(["fetch", "a", "--root", str(tmp_path)]) == 0
        assert message in capsys.readouterr().out
    assert main(["check", "a", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "a: a.txt: there, not verified: no checksum is known\n"


def test_check_of_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--root", str(tmp_path)]) == 1
    message = f"nothing is there, in {tmp_path}; ccompress data fetch NAME brings it\n"
    assert capsys.readouterr().out.endswith(message)


def test_list_shows_which_dimensions_of_glove_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "glove", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "\nglove: not there, download" in printed
    assert "sst2" not in printed
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors/glove.6B.100d.subset.txt.gz").touch()
    (tmp_path / "glove.6B.300d.txt").touch()  # a user may have put it into the root
    assert main(["list", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (
        "glove: there: 100d as vectors/glove.6B.100d.subset.txt.gz, 300d as glove.6B.300d.txt "
        "(not there: 50d, 200d), download" in printed
    )
    assert "a file named subset lacks a, i, 's, n't and numbers" in printed
    for dim in (50, 100, 200, 300):
        (tmp_path / f"vectors/glove.6B.{dim}d.txt").touch()
    assert main(["list", "--root", str(tmp_path)]) == 0
    assert "200d as vectors/glove.6B.200d.txt, 300d as glove.6B.300d.txt, download" in (
        capsys.readouterr().out
    )


def test_data_needs_a_known_verb_and_names() -> None:
    with pytest.raises(InputError, match=r"data 'lst' is not a verb \(did you mean list\?\)"):
        main(["lst"])
    with pytest.raises(InputError, match=r"^data fetch: name what to fetch, .*sst2.*paper"):
        main(["fetch"])


@pytest.mark.parametrize("verb", ["fetch", "check"])
def test_the_error_of_an_unknown_name_suggests_the_nearest_one(verb: str) -> None:
    with pytest.raises(InputError, match=r"unknown data 'sst' \(did you mean sst2\?\); known are"):
        main([verb, "sst"])


def test_an_unknown_experiment_is_refused_before_anything_is_fetched(fetched: list[str]) -> None:
    with pytest.raises(InputError, match=r"unknown data 'papr' \(did you mean paper\?\)"):
        main(["fetch", "trec", "papr"])
    assert fetched == []


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the fetched sources; nothing is downloaded."""
    names: list[str] = []

    def fetch(source: Source, root: Path) -> list[Path]:
        names.append(source.name)
        return [root / file.path for file in source.files]

    monkeypatch.setattr("ccompress.commands.data.fetch", fetch)
    return names


@pytest.mark.parametrize(
    ("experiment", "needed"),
    [
        ("paper", ["sst2", "trec", "snips", "clinc150"]),
        ("glove100", ["sst2", "trec", "snips", "clinc150", "glove"]),
        ("vocabulary", ["sst2", "imdb"]),
        ("demo", []),
    ],
)
def test_fetch_brings_what_an_experiment_reads(
    fetched: list[str], tmp_path: Path, experiment: str, needed: list[str]
) -> None:
    assert main(["fetch", experiment, "--root", str(tmp_path)]) == 0
    assert fetched == needed


def test_fetch_leaves_published_files_and_replaces_damaged_ones(
    fetched: list[str],
    real_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Published files may have other names: imdb as its labelled half, glove as a subset."""
    for experiment in ("paper", "vocabulary", "glove100"):
        assert main(["fetch", experiment, "--root", str(real_data)]) == 0
    assert fetched == []
    assert "paper: everything that it reads is in" in capsys.readouterr().out
    for folder in real_data.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / "trec").unlink()
    (tmp_path / "trec").mkdir()
    for name in ("TREC_10.label", "train_5500.label"):
        contents = (real_data / "trec" / name).read_bytes()
        (tmp_path / "trec" / name).write_bytes(contents[: len(contents) // 2])
    assert main(["fetch", "paper", "--root", str(tmp_path)]) == 0
    assert fetched == ["trec"]


def test_fetch_names_vectors_that_it_cannot_bring(
    fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccompress.data.vectors.imdb_glove.path", lambda: None)
    with pytest.raises(InputError, match=r"^the vectors imdb-glove.300d .* clone .*glove300"):
        main(["fetch", "phrases", "--root", str(tmp_path)])
    assert fetched == ["sst2"]


@pytest.fixture
def upstream_with_real_data(
    upstream: Upstream, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Upstream:
    """The local server in place of the real ones, with the real files."""
    for name, module in FETCHED.items():
        source = sources()[name]
        packed: dict[str, dict[str, bytes]] = {}
        files = []
        for number, file in enumerate(source.files):
            contents = (real_data / file.path).read_bytes()
            path = f"/{name}.zip" if file.member else f"/{name}{number}"
            if file.member:
                packed.setdefault(path, {})[file.member] = contents
            else:
                upstream.contents[path] = contents
            files.append(dataclasses.replace(file, url=upstream.address + path))
        for path, members in packed.items():
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for member, contents in members.items():
                    archive.writestr(member, contents)
            upstream.contents[path] = buffer.getvalue()
        moved = dataclasses.replace(source, files=tuple(files), archives={})
        monkeypatch.setattr(f"ccompress.data.datasets.{module}.SOURCE", moved)
    return upstream


def test_real_data_sets_are_fetched_verified_and_read(
    upstream_with_real_data: Upstream,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fetch", *FETCHED, "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"snips: 14 of 14 files fetched, SHA-256 verified, in {tmp_path}" in printed
    assert main(["check", *FETCHED, "--root", str(tmp_path)]) == 0
    for name in FETCHED:
        options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
        module, _, kind = options.pop("_target_").rpartition(".")
        splits = getattr(importlib.import_module(module), kind)(**options).load(tmp_path)
        assert len(splits.train) == sources()[name].sizes[0]
    upstream_with_real_data.requested.clear()
    assert main(["fetch", "trec", "--root", str(tmp_path)]) == 0
    assert "trec: there, SHA-256 verified" in capsys.readouterr().out
    assert upstream_with_real_data.requested == []
