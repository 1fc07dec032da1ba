"""Model files that are damaged, or that name code that nobody trusts."""

import bz2
import json
import sys
import zlib

import numpy as np
import pytest
import torch
from small_model import OPTIONS, store

from ccompress import cli, storage
from ccompress.data.text import word_list
from ccompress.deployment import model
from ccompress.errors import InputError


def damaged(path, how):
    data = path.read_bytes()
    if how == "flipped":
        return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]
    if how == "altered":
        return data.replace(b"hidden.1", b"hidden.2")
    return {"empty": b"", "text": b"hello\n" * 100, "header": data[:9], "cut": data[:-100]}[how]


@pytest.mark.parametrize("how", ["flipped", "altered", "empty", "text", "header", "cut"])
def test_a_damaged_file_gives_one_line(tmp_path, how):
    path, _ = store(tmp_path)
    path.write_bytes(damaged(path, how))
    with pytest.raises(InputError) as caught:
        model.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_file_is_no_model(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(InputError, match="there is no file"):
        model.load(path)
    storage.save(path, {"table": torch.ones(3)}, {"words": "[]"})
    with pytest.raises(InputError, match="is not a model"):
        model.load(path)


def altered(tmp_path, version="2", words=None, **changes):
    """A stored model after changes of its format, its words or its description."""
    path, _ = store(tmp_path)
    tensors, _ = storage.load_numpy(path)
    description = json.loads(zlib.decompress(tensors[".about"].tobytes()))
    text = json.dumps(description | changes).encode()
    tensors[".about"] = np.frombuffer(zlib.compress(text), "u1")
    if words is not None:
        tensors[".words"] = word_list.pack(words)
    storage.save(path, tensors, {"format": version})
    return path


def text(name, contents):
    """A function that replaces one of the compressed texts in a stored model."""
    return lambda tensors: {**tensors, name: np.frombuffer(contents, "u1")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (text(".about", b"{"), r"cannot be built by this ccompress: \.about: .*"),
        (text(".about", zlib.compress(b"{")), "cannot be built by this ccompress: Expecting"),
        (text(".words", b"hello"), "not a whole bzip2 stream"),
        (text(".runs", bz2.compress(b"\0")), "it has 38 words, and runs for 1"),
        (lambda tensors: {k: v for k, v in tensors.items() if k != ".words"}, r"it lacks '.words'"),
    ],
)
def test_damaged_parts_give_an_error_of_one_line(tmp_path, change, message):
    path, _ = store(tmp_path)
    storage.save(path, change(storage.load_numpy(path)[0]), {"format": "2"})
    with pytest.raises(InputError, match=message) as caught:
        model.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "99"}, "written by another version of ccompress"),
        ({"config": {"network": {"_target_": "nowhere.Network"}}}, "--trust nowhere"),
        (
            {"config": {"network": {"_target_": "torch.nn.Embedding"}}},
            "is not a subclass of Network",
        ),
        ({"config": {"network": {"_target_": 3}}}, "cannot be built"),
        ({"config": {"network": {**OPTIONS["dan"], "width": 1}}}, "width"),
        ({"config": {"network": {**OPTIONS["dan"], "hidden": 7}}}, "size mismatch"),
        ({"labels": ["one"]}, "size mismatch"),
        ({"config": []}, "cannot be built"),
        ({"words": []}, "2 words for 40 rows"),
        ({"labels": []}, "it has no labels"),
        ({"embedding": {}}, "lacks '_target_'"),
    ],
)
def test_a_model_that_cannot_be_built_gives_an_error_of_one_line(tmp_path, changes, message):
    path = altered(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        model.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


PLANTED = {
    "network": {"config": {"network": {"_target_": "planted.tree.Name"}}},
    "embedding": {"embedding": {"_target_": "planted.tree.Name"}},
    "tokenizer": {"tokenizer": "planted.tree.Name"},
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A package that an attacker may have installed.

    Returns:
        The file that the package creates when it is imported.
    """
    package = tmp_path / "site" / "planted"
    package.mkdir(parents=True)
    trace = tmp_path / "trace"
    (package / "__init__.py").write_text(f"open({str(trace)!r}, 'w').close()")
    (package / "tree.py").write_text("Name = str.split")
    monkeypatch.syspath_prepend(package.parent)
    yield trace
    for name in [name for name in sys.modules if name.partition(".")[0] == "planted"]:
        del sys.modules[name]


@pytest.mark.parametrize("place", PLANTED)
@pytest.mark.parametrize("trust", [(), "plant", ["planted.tre", "planted.tree.Names", ""]])
def test_a_planted_module_does_not_run(tmp_path, planted, place, trust):
    path = altered(tmp_path, **PLANTED[place])
    with pytest.raises(InputError, match=r"planted\.tree\.Name.* give --trust planted \(in Python"):
        model.load(path, trust=trust)
    assert not planted.exists()
    assert "planted" not in sys.modules


@pytest.mark.parametrize("place", PLANTED)
@pytest.mark.parametrize("trust", ["planted", ["shlex", "planted.tree"], "planted.tree.Name"])
def test_trusted_code_is_imported_but_must_be_of_the_right_kind(tmp_path, planted, place, trust):
    path = altered(tmp_path, **PLANTED[place])
    if place == "tokenizer":
        small = model.load(path, trust=trust)
        assert [small.words[row] for row in small.encode("w3 w4")] == ["w3", "w4"]
    else:
        with pytest.raises(
            InputError, match=r"planted\.tree\.Name is not a subclass of (Network|Module)$"
        ):
            model.load(path, trust=trust)
    assert planted.exists()


def test_a_file_cannot_call_any_function(tmp_path):
    trap = tmp_path / "trap"
    path = altered(tmp_path, embedding={"_target_": "os.mkdir", "path": str(trap)})
    with pytest.raises(InputError, match=r"os\.mkdir is not a subclass of Module"):
        model.load(path, trust="os")
    assert not trap.exists()
    with pytest.raises(InputError, match=r"tokenizers: ccompress\.cli\.command; if"):
        model.load(altered(tmp_path, tokenizer="ccompress.cli.command"))


def test_the_error_names_all_untrusted_code_at_once(tmp_path, capsys):
    path = altered(tmp_path, embedding={"_target_": "torch.nn.Linear"}, tokenizer="shlex.split")
    assert cli.command(["predict", str(path), "/dev/null"]) == 2
    error = capsys.readouterr().err
    assert "torch.nn.Linear, shlex.split; if you trust it" in error
    assert "give --trust torch --trust shlex (in Python trust=['torch', 'shlex'])" in error
    path = altered(tmp_path, tokenizer="shlex.split")
    assert cli.command(["predict", str(path), "/dev/null", "--trust", "shlex"]) == 0
