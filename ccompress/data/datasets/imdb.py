"""The Large Movie Review Dataset (IMDB), its labelled half."""

import functools
import hashlib
import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import Examples, Splits, examples_from, hold_out, read_bytes
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import File, Source
from ccompress.data.text import tokenizers
from ccompress.errors import InputError

_ARCHIVE = "imdb/aclImdb_v1.tar.gz"
_LABELLED_ARCHIVE = "imdb/aclImdb_labelled.tar.gz"
_FOLDER = "imdb/aclImdb"
_REVIEW = re.compile(r"(?:\./)?aclImdb/(train|test)/(pos|neg)/(\d+_\d+\.txt)")
REVIEWS_PER_SPLIT = 25_000


@functools.cache  # a sweep asks at every run; 50,000 files are not read again within a process
def _folder_sha256(folder: Path) -> str:
    """SHA-256 over the reviews of the unpacked folder: their paths, lengths and contents."""
    digest = hashlib.sha256()
    for split, label, name, contents in sorted(_from_folder(folder)):
        digest.update(f"{split}/{label}/{name}:{len(contents)}\n".encode())
        digest.update(contents)
    return digest.hexdigest()


SOURCE = Source(
    name="imdb",
    title="Large Movie Review Dataset, labelled half (Maas et al. 2011)",
    home="https://ai.stanford.edu/~amaas/data/sentiment/",
    licence="not stated",
    files=(
        File(
            _ARCHIVE,
            "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
        ),
    ),
    megabytes=84.1,
    sizes=(22500, 2500, 25000, 2),
    alternatives={
        _LABELLED_ARCHIVE: "4471469ec4b767dd18ffc03a4ce3bcae6fcbd25f92544c2d3f82dd3aaa5d6127",
        _FOLDER: "84d6be72f3a698810b1fe2642df1aeb85f27148e024e89f4bf997533edecb298",
    },
    folder_sha256=_folder_sha256,
)


@dataclass(kw_only=True)
class Imdb(Published):
    """Movie reviews, positive or negative (Maas et al. 2011).

    Read from the upstream archive without unpacking it, from one that holds the labelled reviews
    only, or from the unpacked folder; all give the same. Upstream has no dev split: a tenth of
    train becomes dev.
    """

    source = SOURCE
    min_count: int = 2

    def read(self, root: Path) -> Splits:
        """Read the reviews; see `Published.read`."""
        path = SOURCE.find(root, _ARCHIVE, _LABELLED_ARCHIVE, _FOLDER)
        reviews = _from_folder(path) if path.is_dir() else _from_archive(path)
        by_split: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for split, label, name, contents in reviews:
            try:
                by_split[split].append((label, name, contents.decode("UTF-8")))
            except UnicodeDecodeError as error:
                raise InputError(f"{path}: {split}/{label}/{name} is not UTF-8") from error
        tokenize = tokenizers.get(self.tokenizer)

        def examples(split: str) -> Examples:
            reviews = sorted(by_split.pop(split, []))  # archives and folders come in any order
            if len(reviews) != REVIEWS_PER_SPLIT:
                raise InputError(
                    f"{path} holds {len(reviews):,} {split} reviews, not {REVIEWS_PER_SPLIT:,};"
                    " unpack it again, or run: ccompress data fetch imdb"
                )
            return examples_from(((text, label) for label, _, text in reviews), tokenize)

        train, dev = hold_out(examples("train"))
        return Splits(train, dev, examples("test"))


def _from_archive(path: Path) -> Iterator[tuple[str, str, str, bytes]]:
    """The split, label, file name and contents of each labelled review in a tar archive."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                match = _REVIEW.fullmatch(member.name)
                file = archive.extractfile(member) if match else None
                if match and file:
                    yield match[1], match[2], match[3], file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{path} is damaged or cannot be read ({error}); delete it and run:"
            " ccompress data fetch imdb"
        ) from error


def _from_folder(path: Path) -> Iterator[tuple[str, str, str, bytes]]:
    """The same from the unpacked folder `aclImdb`."""
    for split in ("train", "test"):
        for label in ("neg", "pos"):
            for file in (path / split / label).glob("*.txt"):
                yield split, label, file.name, read_bytes(file)
