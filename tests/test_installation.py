import json
import sys
from pathlib import Path

import pytest

from ccompress import installation

FOLDER = {"url": "file:///home/me/my%20code", "dir_info": {"editable": True}}
COPY = {"url": "file:///home/me/code", "dir_info": {}}
VERSION = {"url": "https://example.org/it.git", "vcs_info": {"vcs": "git", "commit_id": "3f2a"}}


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (FOLDER, "-e '/home/me/my code[export]'"),
        (COPY, "'ccompress[export] @ file:///home/me/code'"),
        (VERSION, "'ccompress[export] @ git+https://example.org/it.git@3f2a'"),
        (None, "'ccompress[export]'"),
    ],
)
@pytest.mark.parametrize("installer", ["pip\n", "uv", None])
def test_an_extra_is_installed_in_the_same_way_as_ccompress(monkeypatch, origin, words, installer):
    class Installed:
        def read_text(self, name):
            texts = {"direct_url.json": origin and json.dumps(origin), "INSTALLER": installer}
            return texts[name]

    monkeypatch.setattr(installation, "distribution", lambda name: Installed())
    pip = f"uv pip install --python {sys.executable}"
    if installer != "uv":
        pip = f"{sys.executable} -m pip install"
    assert installation.command("export") == f"{pip} {words}"


def test_the_named_extras_exist():
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in ("launchers", "export", "transformers"):
        assert f"\n{extra} = [" in pyproject
