"""Fetching a data set or word vectors from upstream into the data root."""

import logging
import shutil
import sys
import zipfile
import zlib
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from ccompress.data.downloads.source import File, Source
from ccompress.errors import InputError
from ccompress.storage import file_sha256

# Where files wait until they are whole and verified; of the root, so that placing one is a rename.
_STAGING = ".fetching"


def fetch(source: Source, root: Path) -> list[Path]:
    """Bring the files of `source` that are not yet there, or not whole, into the data root.

    A file appears under its name only when its contents are verified, by its own SHA-256 or that of
    its archive; a download that breaks off is begun anew, and nothing of it is left behind. Two
    processes that fetch into one root wait for each other.

    Returns:
        The files that were put into place.

    Raises:
        InputError: The data root cannot be written, the address gives no answer or something else
            than the expected file, or an archive is damaged or has paths outside its folder.
    """
    staging = root / _STAGING
    if not _wanted(source, root):  # nothing to write: the root may be read-only
        return []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{_STAGING}.lock"):
            shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
            try:
                return _fetch(source, root, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write to the data root {root}: {error}") from error


def _fetch(source: Source, root: Path, staging: Path) -> list[Path]:
    staged: dict[Path, Path] = {}  # final place -> where it waits
    for url, group in groupby(_wanted(source, root), key=lambda file: file.url):
        download = _download(url, staging)
        _refuse_page(download, url)
        _verify(download, source.archives.get(url, ""), url)
        for file in group:
            waiting = _unpack(download, file, staging, url) if file.member else download
            _verify(waiting, file.sha256, url)
            staged[root / file.path] = waiting
    for place, waiting in staged.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        waiting.replace(place)
    return list(staged)


def _wanted(source: Source, root: Path) -> list[File]:
    """The files that are not there, or not whole."""

    def intact(file: File) -> bool:
        path = root / file.path
        return path.is_file() and (not file.sha256 or file_sha256(path) == file.sha256)

    return [file for file in source.files if not intact(file)]


def _download(url: str, folder: Path) -> Path:
    """Download a file; once more from the start if the connection breaks."""
    import pooch  # with requests, half a second that only a download needs to spend
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    name = PurePosixPath(url).name
    downloads = pooch.create(
        path=folder, base_url="", registry={name: None}, urls={name: url}, retry_if_failed=1
    )
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16)

    def anew(url: str, path: str, caller: Any) -> None:
        """Download into a new file: only the owner may read the one that pooch has made."""
        Path(path).unlink()
        download(url, path, caller)

    try:
        return Path(downloads.fetch(name, downloader=anew))
    except RequestException as error:
        raise InputError(f"cannot download {url}: {error}; try again later") from error


def _refuse_page(path: Path, url: str) -> None:
    """Networks that ask for a log-in, and moved files, answer any address with a web page."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise InputError(
            f"{url} gave an HTML page in place of the file: open it in a browser to see whether the"
            " network asks for a log-in or the file has moved"
        )


def _verify(path: Path, sha256: str, url: str) -> None:
    """Hold a file's contents against their checksum, where one is known."""
    if sha256 and (fetched := file_sha256(path)) != sha256:
        raise InputError(
            f"{url} gave contents other than expected ({path.name} has SHA-256 {fetched}, not"
            f" {sha256}): try again, or see whether upstream has changed it"
        )


def _unpack(archive: Path, file: File, staging: Path, url: str) -> Path:
    """Unpack one file of a zip archive into `staging`."""
    target = staging / "unpacked" / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as members:
            for name in members.namelist():
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise InputError(
                        f"{url} holds the path {name!r}, which leads out of its folder: it is not"
                        " the upstream archive, nothing was unpacked"
                    )
            with members.open(file.member) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
    except KeyError as error:
        raise InputError(f"{url} has no {file.member}: upstream has changed it") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{url} gave a damaged zip archive ({error}): try again") from error
    return target
