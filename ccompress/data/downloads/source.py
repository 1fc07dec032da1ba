"""Where data come from, and whether they are there and whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ccompress.errors import InputError, MissingData
from ccompress.storage import contents_sha256


@dataclass(frozen=True)
class File:
    """A file of a data set or of word vectors.

    Attributes:
        path: Where it lies under the data root.
        sha256: Of its contents; "" where only that of its archive is known.
        url: Its upstream address, or that of the zip archive which holds it.
        member: Its name inside that archive; "" where `url` is the file itself.
    """

    path: str
    sha256: str
    url: str
    member: str = ""


@dataclass(frozen=True)
class Source:
    """What a data set, or a set of word vectors, is made of.

    A module of `ccompress.data` that holds one names it `SOURCE`; `ccompress data` finds it there.

    Attributes:
        name: What `ccompress data fetch` calls it.
        title: What it is, and who made it.
        home: The web page that describes it.
        licence: Its licence, as its makers state it.
        files: What fetching it brings; none where the package itself makes the data.
        megabytes: Size of the download, in 10^6 bytes.
        sizes: Numbers of train, dev and test examples and of classes; none for word vectors.
        archives: SHA-256 of the zip archives among the addresses, where it is known.
        alternatives: Other forms that serve as well: path under the data root -> SHA-256 of the
            contents, or "" where it is not known.
        folder_sha256: Gives the SHA-256 of an alternative that is a folder.
        parts: What of it can be read without the rest, as a noun -> the paths under the data root
            of which any holds it, the best one first. None where it is read as a whole.
    """

    name: str
    title: str
    home: str
    licence: str
    files: tuple[File, ...]
    megabytes: float
    sizes: tuple[int, int, int, int] | None = None
    archives: Mapping[str, str] = field(default_factory=dict)
    alternatives: Mapping[str, str] = field(default_factory=dict)
    folder_sha256: Callable[[Path], str] | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, root: Path, *paths: str) -> Path:
        """Return the first of `paths` (under the data root) that is there.

        Raises:
            MissingData: None is there.
            InputError: The data root is not a folder that can be read.
        """
        if _exists(root, "") and not root.is_dir():
            raise InputError(f"the data root {root} is not a folder")
        for path in paths:
            if _exists(root, path):
                return root / path
        raise MissingData(root, {self.name: paths[0]})

    def chosen(self, root: Path) -> dict[str, str]:
        """What a reader takes: path under the data root -> SHA-256, or "" where it is not known.

        The files, unless none of them is there and an alternative is.
        """
        files = {file.path: file.sha256 for file in self.files}
        others = [path for path in self.alternatives if _exists(root, path)]
        if not others or any(_exists(root, path) for path in files):
            return files
        return {others[0]: self.alternatives[others[0]]}

    def sha256(self, root: Path, path: str) -> str | None:
        """SHA-256 of a file, or of a folder that is an alternative; None where it is not there.

        Raises:
            InputError: It cannot be read.
        """
        if not _exists(root, path):
            return None
        try:
            if self.folder_sha256 is not None and (root / path).is_dir():
                return self.folder_sha256(root / path)
            return contents_sha256(root / path)
        except OSError as error:
            raise InputError(f"cannot read {root / path}: {error.strerror}") from error

    def checksums(self) -> dict[str, str]:
        """Every path under the data root that may hold this source -> SHA-256, or ""."""
        return {file.path: file.sha256 for file in self.files} | dict(self.alternatives)

    def is_there(self, root: Path) -> bool:
        """Whether it can be read: all its files, one of the alternatives, or one of its parts."""
        return self.state(root).startswith(("there", "built in"))

    def state(self, root: Path) -> str:
        """What of it is under the data root, in words."""
        if self.parts:
            return self._state_of_parts(root)
        files = sum((root / file.path).is_file() for file in self.files)
        if files == len(self.files):
            return "there" if files else "built in"
        if others := [path for path in self.alternatives if (root / path).exists()]:
            return f"there as {' and '.join(others)}"
        return f"in part there, {files} of {len(self.files)} files" if files else "not there"

    def _state_of_parts(self, root: Path) -> str:
        paths = {
            part: next((path for path in paths if (root / path).is_file()), None)
            for part, paths in self.parts.items()
        }
        found_parts = ", ".join(f"{part} as {path}" for part, path in paths.items() if path)
        lacking = ", ".join(part for part, path in paths.items() if not path)
        if not found_parts:
            return "not there"
        return f"there: {found_parts}" + f" (not there: {lacking})" * bool(lacking)


def _exists(root: Path, path: str) -> bool:
    try:
        return (root / path).exists()
    except OSError as error:
        raise InputError(f"cannot read the data root {root}: {error.strerror}") from error
