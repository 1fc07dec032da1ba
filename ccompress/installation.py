"""How `ccompress` was installed here, to say how more of it is installed."""

import json
import shlex
import sys
from importlib.metadata import distribution
from urllib.parse import urlparse
from urllib.request import url2pathname


def command(extra: str) -> str:
    """The command that adds an extra of `ccompress` to this environment.

    It names the folder, repository or file that `ccompress` was installed from (direct_url.json of
    PEP 610) and uses the installer that was used (pip or uv).
    """
    installed = distribution("ccompress")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url, package = origin.get("url", ""), f"ccompress[{extra}]"
    if origin.get("dir_info", {}).get("editable"):
        words = ["-e", f"{url2pathname(urlparse(url).path)}[{extra}]"]
    elif version := origin.get("vcs_info"):
        words = [f"{package} @ {version['vcs']}+{url}@{version['commit_id']}"]
    else:
        words = [f"{package} @ {url}" if url else package]
    uv = (installed.read_text("INSTALLER") or "").strip() == "uv"
    pip = ["uv", "pip", "install", "--python", sys.executable]
    return shlex.join([*(pip if uv else [sys.executable, "-m", "pip", "install"]), *words])
