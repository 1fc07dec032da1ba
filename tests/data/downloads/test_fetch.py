"""Downloads from a local server, with correct and with all kinds of wrong answers."""

import hashlib
import io
import re
import zipfile
from pathlib import Path

import pytest
from upstream import Upstream

from ccompress.data.downloads.fetch import fetch
from ccompress.data.downloads.source import File, Source
from ccompress.errors import InputError

ONE, TWO = b"one\n" * 5_000, b"two\n" * 5_000


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return buffer.getvalue()


def archived(upstream: Upstream, archive: bytes, archive_sha256: str = "") -> Source:
    """A source with two files in one zip archive."""
    upstream.contents["/both.zip"] = archive
    url = f"{upstream.address}/both.zip"
    return Source(
        name="both",
        title="two files",
        home=upstream.address,
        licence="none",
        files=(
            File("set/one.txt", sha256(ONE), url, "inner/one.txt"),
            File("set/two.txt", "" if archive_sha256 else sha256(TWO), url, "inner/two.txt"),
        ),
        megabytes=0.1,
        archives={url: archive_sha256} if archive_sha256 else {},
    )


def plain(upstream: Upstream) -> Source:
    """A source with two separate files."""
    upstream.contents |= {"/one": ONE, "/two": TWO}
    files = (
        File("set/one.txt", sha256(ONE), f"{upstream.address}/one"),
        File("set/two.txt", sha256(TWO), f"{upstream.address}/two"),
    )
    return Source("both", "two files", upstream.address, "none", files, 0.1)


GOOD = zipped({"inner/": b"", "inner/one.txt": ONE, "inner/two.txt": TWO, "more/three.txt": b"3"})


def left(root: Path) -> set[str]:
    """All files in the root except the lock."""
    paths = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return paths - {".fetching.lock"}


@pytest.mark.parametrize("kind", ["archive", "archive with its checksum", "plain"])
def test_correct_files_are_put_into_place(upstream: Upstream, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "new" / "root"
    if kind == "plain":
        source = plain(upstream)
    else:
        source = archived(upstream, GOOD, sha256(GOOD) if "checksum" in kind else "")
    assert fetch(source, root) == [root / "set/one.txt", root / "set/two.txt"]
    assert [(root / "set" / name).read_bytes() for name in ("one.txt", "two.txt")] == [ONE, TWO]
    assert left(root) == {"set/one.txt", "set/two.txt"}
    (root / "any").touch()  # it has the rights that umask gives
    rights = {path.stat().st_mode for path in (root / "any", *(root / "set").iterdir())}
    assert len(rights) == 1
    assert source.is_there(root)
    requests = len(upstream.requested)
    assert fetch(source, root) == []
    assert len(upstream.requested) == requests


def test_only_missing_and_damaged_files_are_fetched(upstream: Upstream, tmp_path: Path) -> None:
    source = plain(upstream)
    fetch(source, tmp_path)
    upstream.requested.clear()
    (tmp_path / "set/two.txt").write_bytes(TWO[:-1])
    (tmp_path / ".fetching").mkdir()
    (tmp_path / ".fetching/rest").write_text("of a process that was killed")
    assert fetch(source, tmp_path) == [tmp_path / "set/two.txt"]
    assert (tmp_path / "set/two.txt").read_bytes() == TWO
    assert upstream.requested == ["/two"]
    assert left(tmp_path) == {"set/one.txt", "set/two.txt"}


@pytest.mark.parametrize("kind", ["archive", "plain"])
def test_a_server_that_stops_in_the_middle_leaves_no_file(
    upstream: Upstream, tmp_path: Path, kind: str
) -> None:
    source = plain(upstream) if kind == "plain" else archived(upstream, GOOD)
    path = "/two" if kind == "plain" else "/both.zip"
    upstream.breaks[path] = 99
    with pytest.raises(InputError, match=f"cannot download {upstream.address}{path}: .*try again"):
        fetch(source, tmp_path)
    assert left(tmp_path) == set()  # not even the first file, which was complete
    upstream.breaks[path] = 1
    fetch(source, tmp_path)
    assert left(tmp_path) == {"set/one.txt", "set/two.txt"}


INSIDE = GOOD.index(b"inner/one.txt") + 20
FLIPPED = GOOD[:INSIDE] + bytes([GOOD[INSIDE] ^ 1]) + GOOD[INSIDE + 1 :]
PAGE = b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("archive", "complaint"),
    [
        (PAGE, "gave an HTML page in place of the file"),
        (GOOD[: len(GOOD) // 2], "gave a damaged zip archive"),
        (b"", "gave a damaged zip archive"),
        (zipped({"inner/one.txt": ONE}), "has no inner/two.txt"),
        (zipped({"inner/one.txt": ONE, "inner/two.txt": ONE}), "gave contents other than expected"),
        (FLIPPED, "gave a damaged zip archive"),
    ],
)
@pytest.mark.parametrize("archive_checksum", [True, False])
def test_another_archive_than_expected_is_refused(
    upstream: Upstream, tmp_path: Path, archive: bytes, complaint: str, archive_checksum: bool
) -> None:
    source = archived(upstream, archive, sha256(GOOD) if archive_checksum else "")
    if archive_checksum and archive != PAGE:
        complaint = "gave contents other than expected"
    with pytest.raises(InputError, match=f"^{upstream.address}/both.zip {complaint}"):
        fetch(source, tmp_path)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("name", ["../evil.txt", "inner/../../../evil.txt", "/tmp/evil.txt"])
def test_an_archive_with_a_path_that_leads_out_of_its_folder_is_refused(
    upstream: Upstream, tmp_path: Path, name: str
) -> None:
    archive = zipped({"inner/one.txt": ONE, "inner/two.txt": TWO, name: b"evil"})
    with pytest.raises(InputError, match=re.escape(f"holds the path {name!r}, which leads out")):
        fetch(archived(upstream, archive), tmp_path / "deep" / "root")
    assert not list(tmp_path.rglob("*.txt"))


def test_other_files_than_expected_are_refused(upstream: Upstream, tmp_path: Path) -> None:
    source = plain(upstream)
    upstream.contents["/two"] = PAGE
    with pytest.raises(InputError, match=f"^{upstream.address}/two gave an HTML page"):
        fetch(source, tmp_path)
    upstream.contents["/two"] = ONE
    with pytest.raises(InputError, match=r"/two gave contents other than expected .*SHA-256"):
        fetch(source, tmp_path)
    del upstream.contents["/two"]
    with pytest.raises(InputError, match=r"cannot download .*/two: 404"):
        fetch(source, tmp_path)
    assert left(tmp_path) == set()


def test_a_data_root_that_cannot_be_written_is_named(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to the data root .*file/root"):
        fetch(plain(upstream), tmp_path / "file" / "root")
    assert upstream.requested == []
