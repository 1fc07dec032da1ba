"""The contract of a data set: three checked splits of tokenized, labelled examples."""

import hashlib
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_dir

from ccompress.errors import InputError
from ccompress.storage import expanded

_NAMED = 5  # labels in a message


class Columns(NamedTuple):
    """The names of the two columns of a table of labelled texts.

    Attributes:
        text: The column of the texts.
        label: The column of the labels.
    """

    text: str
    label: str


@dataclass(frozen=True)
class Examples:
    """Tokenized texts and their labels, in order. Both lists have the same length.

    Attributes:
        tokens: The tokens of each text.
        labels: The label of each text.
        path: The file that they were read from, where errors should name it.
        lines: The line of that file on which each text begins; empty without a file.
    """

    tokens: list[list[str]]
    labels: list[str]
    path: Path | None = None
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.labels):
            raise ValueError(f"{len(self.tokens)} texts but {len(self.labels)} labels")
        if self.path is not None and len(self.lines) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels but {len(self.lines)} lines")

    def __len__(self) -> int:
        return len(self.labels)

    def place(self, index: int) -> str:
        """The place of an example, as errors name it."""
        return f"{self.path} line {self.lines[index]}" if self.path else f"example {index + 1}"


@dataclass(frozen=True)
class Splits:
    """The train, dev and test examples of one data set.

    Raises:
        InputError: A split has no examples or a text without words, train has one class only, or
            dev or test has a label that train lacks.
    """

    train: Examples
    dev: Examples
    test: Examples

    def __post_init__(self) -> None:
        classes = set(self.train.labels)
        if len(classes) == 1:
            raise InputError(
                f"the train split has one class only ({self.train.labels[0]!r}); a classifier"
                " needs two or more"
            )
        for split in ("train", "dev", "test"):
            examples: Examples = getattr(self, split)
            if not len(examples):
                raise InputError(f"the {split} split has no examples; it needs at least one")
            if empty := [i for i, tokens in enumerate(examples.tokens) if not tokens]:
                raise InputError(
                    f"the {split} split has {_count(len(empty), 'text')} without words"
                    f" ({examples.place(empty[0])}, label {examples.labels[empty[0]]!r}"
                    f"{', …' * (len(empty) > 1)}); leave them out or give them words"
                )
            unknown = [i for i, label in enumerate(examples.labels) if label not in classes]
            if unknown:
                first: dict[str, int] = {}
                for i in unknown:
                    first.setdefault(examples.labels[i], i)
                labels = [f"{label!r} ({examples.place(i)})" for label, i in first.items()]
                raise InputError(
                    f"the {split} split has {_count(len(labels), 'label')} that train lacks, in"
                    f" {_count(len(unknown), 'text')}: {', '.join(labels[:_NAMED])}"
                    f"{', …' * (len(labels) > _NAMED)}; every label must occur in train"
                )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number > 1)


@dataclass(kw_only=True)
class Dataset(ABC):
    """A labelled text data set; the fields of a subclass are the options of its YAML file.

    Attributes:
        name: The data set's name on the command line and in results.
        tokenizer: A name known to `ccompress.data.text.tokenizers.get`, used on raw text
            everywhere.
        vectors: What `vectors=auto` means for it: `glove` or `cooccurrence`.
        min_count: Training words seen fewer times become `<unk>`.
    """

    name: str
    tokenizer: str
    vectors: str
    min_count: int = 1

    @abstractmethod
    def load(self, root: Path) -> Splits:
        """Read the data set from the data root, tokenized.

        Raises:
            InputError: The data are not there (the message names the command that fetches them),
                cannot be read, or fail the checks of `Splits`.
        """

    @property
    def columns(self) -> Columns | None:
        """The columns of the user's own table; None for a data set without one."""
        return None

    def files(self) -> dict[str, Path]:
        """Option name -> file named by the user, whose contents identify a run."""
        return {}

    def require(self, root: Path) -> None:  # noqa: B027, a data set may need nothing there
        """Check that the data root holds what `load` reads.

        Raises:
            MissingData: It does not.
        """

    def verify(self, root: Path) -> None:  # noqa: B027, a data set may not know its contents
        """Compare the data root's files with the known contents of the data set.

        Raises:
            InputError: A file is there but has other contents.
        """


def default_root() -> Path:
    """The default data root: `CCOMPRESS_DATA` if set, otherwise in the user's cache folder."""
    if named := os.environ.get("CCOMPRESS_DATA"):
        return expanded(named)
    return cache_folder() / "data"


def vectors_cache() -> Path:
    """The folder of word vectors that took long to read or to compute, for all runs of a user."""
    return cache_folder() / "vectors"


def cache_folder() -> Path:
    """The user's cache folder.

    A user without a home, as in many containers, gets one in the folder of temporary files.
    """
    try:
        return Path(user_cache_dir("ccompress"))
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"ccompress-{os.getuid()}"


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_text(path: Path, encoding: str = "UTF-8") -> str:
    """Read a whole text file.

    Raises:
        InputError: The file cannot be read, or is not in `encoding` (names the line).
    """
    contents = read_bytes(path)
    try:
        return contents.decode(encoding)
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} is not {encoding} (line {line}); save it as {encoding}"
        ) from error


def parse_json(
    text: str, where: str, from_pairs: Callable[[list[tuple[str, Any]]], Any] = dict
) -> Any:
    """Parse JSON text.

    Args:
        text: The text.
        where: Its source, for errors: a file, a line.
        from_pairs: Makes an object from its keys and values, in their order.

    Raises:
        InputError: It is not JSON, or more than can be parsed: thousands of digits or of brackets.
    """
    try:
        return json.loads(text, object_pairs_hook=from_pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from error


def examples_from(
    pairs: Iterable[tuple[str, str]], tokenize: Callable[[str], list[str]]
) -> Examples:
    """Tokenize (text, label) pairs."""
    # All copies of a word share one object: IMDB's 13 million tokens then take 0.1 GB, not 0.8.
    shared: dict[str, str] = {}
    tokens, labels = [], []
    for text, label in pairs:
        tokens.append([shared.setdefault(token, token) for token in tokenize(text)])
        labels.append(label)
    return Examples(tokens, labels)


def hold_out(examples: Examples, share: float = 0.1) -> tuple[Examples, Examples]:
    """Split the examples into train and dev (or test) where upstream has no such split.

    A share of each label's texts (at least one, if there are two or more) becomes dev: those with
    the smallest SHA-256. So the choice does not depend on the seed, the machine or the order of the
    file. Copies of a text stay on one side, except possibly for one text per label.

    Returns:
        Train (nine tenths) and dev (one tenth, or `share`), each in the order of `examples`.
    """
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(examples.labels):
        by_label[label].append(index)

    def digest(index: int) -> bytes:
        return hashlib.sha256(" ".join(examples.tokens[index]).encode()).digest()

    held: set[int] = set()
    for indices in by_label.values():
        count = max(1, round(len(indices) * share)) if len(indices) > 1 else 0
        held.update(sorted(indices, key=digest)[:count])

    def take(indices: list[int]) -> Examples:
        return Examples(
            [examples.tokens[i] for i in indices],
            [examples.labels[i] for i in indices],
            examples.path,
            [examples.lines[i] for i in indices] if examples.path else [],
        )

    everything = range(len(examples))
    return take([i for i in everything if i not in held]), take(
        [i for i in everything if i in held]
    )
