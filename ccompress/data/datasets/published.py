"""Data sets that are known by their contents: what their makers published, and nothing else."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ccompress.data.base import Dataset, Splits
from ccompress.data.downloads.source import Source
from ccompress.errors import InputError


@dataclass(kw_only=True)
class Published(Dataset):
    """A data set whose name stands for its contents.

    The identity of a run, and with it what is cached and what counts as finished, holds the name
    alone. So files with other contents than the published ones are refused before a run's identity
    is made. A new checksum in `source` is another data set: it needs a new protocol number.

    Attributes:
        source: The files, their checksums and the sizes of the splits.
    """

    source: ClassVar[Source]

    @abstractmethod
    def read(self, root: Path) -> Splits:
        """Read the files as they are; see `Dataset.load`."""

    @property
    def sizes(self) -> tuple[int, int, int, int] | None:
        """Number of train, dev and test examples and of classes, as published."""
        return self.source.sizes

    def load(self, root: Path) -> Splits:
        """Read the published files from the data root, tokenized; see `Dataset.load`.

        Raises:
            ValueError: The splits have other sizes than the published files give.
        """
        self.verify(root)
        splits = self.read(root)
        classes = len(set(splits.train.labels))
        sizes = (len(splits.train), len(splits.dev), len(splits.test), classes)
        if sizes != self.sizes:
            raise ValueError(f"{self.name} was read with the sizes {sizes}, not {self.sizes}")
        return splits

    def require(self, root: Path) -> None:
        """See whether the files are there; see `Dataset.require`."""
        for path in self.source.chosen(root):
            self.source.find(root, path)

    def verify(self, root: Path) -> None:
        """Refuse files with other contents than the published ones; see `Dataset.verify`."""
        for path, sha256 in self.source.chosen(root).items():
            actual = self.source.sha256(root, path)
            if actual not in (None, sha256):
                raise InputError(
                    f"{root / path} is not what {self.name} was published with (SHA-256 {actual},"
                    f" not {sha256}); run: ccompress data fetch {self.name}; texts of your own are"
                    " dataset=custom"
                )
