"""The installed version of `ccompress`, and how to install an extra in the way it was installed."""

import json
import shlex
import sys
from importlib.metadata import distribution, version
from urllib.parse import urlparse
from urllib.request import url2pathname

__version__ = version("ccompress")


def command(extra: str) -> str:
    """The command that adds an extra of `ccompress` to this environment.

    The command names the folder, repository or file from which `ccompress` was installed
    (direct_url.json of PEP 610). It uses the same installer (pip or uv).
    """
    installed = distribution("ccompress")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url, package = origin.get("url", ""), f"ccompress[{extra}]"
    if origin.get("dir_info", {}).get("editable"):
        words = ["-e", f"{url2pathname(urlparse(url).path)}[{extra}]"]
    elif repository := origin.get("vcs_info"):
        words = [f"{package} @ {repository['vcs']}+{url}@{repository['commit_id']}"]
    else:
        words = [f"{package} @ {url}" if url else package]
    uv = (installed.read_text("INSTALLER") or "").strip() == "uv"
    pip = ["uv", "pip", "install", "--python", sys.executable]
    return shlex.join([*(pip if uv else [sys.executable, "-m", "pip", "install"]), *words])
