import sys

import pytest

from ccompress.config.source_code import source_sha256

# own.method imports own.helper, which imports own.numbers; nothing imports own.apart.
PACKAGE = {
    "own/__init__.py": "",
    "own/method.py": "import json\nfrom . import helper\nfrom ccompress.errors import InputError\n",
    "own/helper.py": "def f():\n    from own.numbers import ONE\n    return ONE\n",
    "own/numbers.py": "ONE = 1\n",
    "own/apart.py": "",
    "json/method.py": "",
    "alone.py": "import beside\nimport sub\n",
    "beside.py": "import numpy\n",
    "sub/__init__.py": "",
    "other.py": "",
}


@pytest.fixture
def sha256(tmp_path, monkeypatch):
    """The checksum of a module that a new process would compute, after a change of a file."""
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def changed(module, name=None, text="# changed\n"):
        if name:
            (tmp_path / name).write_text(PACKAGE.get(name, "") + text)
        source_sha256.cache_clear()
        return source_sha256(module)

    yield changed
    source_sha256.cache_clear()


@pytest.mark.parametrize(
    ("module", "name", "counts"),
    [
        ("own.method", "own/method.py", True),
        ("own.method", "own/helper.py", True),
        ("own.method", "own/numbers.py", True),  # imported inside a function of another module
        ("own.method", "own/__init__.py", True),
        ("own.method", "own/apart.py", False),
        ("own.method", "alone.py", False),
        ("own", "own/method.py", False),
        ("own.apart", "own/method.py", False),
        ("alone", "alone.py", True),
        ("alone", "beside.py", True),
        ("alone", "other.py", False),
        ("alone", "sub/__init__.py", False),
    ],
)
def test_which_files_count_as_the_source_of_a_module(sha256, module, name, counts):
    before = sha256(module)
    assert len(before) == 64
    assert (sha256(module, name) != before) is counts


def test_a_copy_elsewhere_has_the_same_checksum(sha256, tmp_path, monkeypatch):
    before = sha256("own.method")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own").rename(tmp_path / "elsewhere" / "own")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    sys.modules.pop("own", None)
    assert sha256("own.method") == before


def test_the_checksum_imports_no_module(sha256):
    sha256("own.method", "own/helper.py", "raise SystemExit\n")
    assert not any(name.startswith("own.") for name in sys.modules)


@pytest.mark.parametrize("module", ["ccompress.methods.none", "builtins", "json", "shlex"])
def test_modules_of_ccompress_and_of_python_have_no_checksum(sha256, module):
    assert sha256(module) is None
