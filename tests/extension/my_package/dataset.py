"""A data set: a file of lines `label: text`."""

from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import Dataset, Splits, examples_from, hold_out, read_text
from ccompress.data.text import tokenizers
from ccompress.errors import InputError


def lower(text: str) -> list[str]:
    """A tokenizer is a function from text to tokens; the YAML file names it by its dotted path."""
    return text.lower().split()


@dataclass(kw_only=True)
class Requests(Dataset):
    """Lines `label: text`. A tenth of them is test, and a tenth of the rest is dev.

    Attributes:
        path: The file. Every field is an option, checked against its type.
    """

    path: str

    def files(self) -> dict[str, Path]:
        """The contents of the file enter the run's id; its path does not."""
        return {"path": Path(self.path)}

    def load(self, root: Path) -> Splits:
        """Read, tokenize and split the lines; `Splits` checks the result."""
        pairs = []
        for number, line in enumerate(read_text(Path(self.path)).splitlines(), start=1):
            label, colon, text = line.partition(": ")
            if not colon:
                raise InputError(f"{self.path} line {number} has no label: write `label: text`")
            pairs.append((text, label))
        rest, test = hold_out(examples_from(pairs, tokenizers.get(self.tokenizer)))
        train, dev = hold_out(rest)
        return Splits(train, dev, test)
