"""TREC question classification: what kind of answer a question asks for."""

from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import Examples, Splits, examples_from, hold_out, read_text
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import File, Source
from ccompress.data.text import tokenizers
from ccompress.errors import InputError

_HOST = "https://cogcomp.seas.upenn.edu/Data/QA/QC"

SOURCE = Source(
    name="trec",
    title="TREC question types, 6 coarse classes (Li and Roth 2002)",
    home="https://cogcomp.seas.upenn.edu/Data/QA/QC/",
    licence="not stated",
    files=tuple(
        File(f"trec/{name}", sha256, f"{_HOST}/{name}")
        for name, sha256 in (
            (
                "train_5500.label",
                "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
            ),
            ("TREC_10.label", "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e"),
        )
    ),
    megabytes=0.4,
    sizes=(4906, 546, 500, 6),
)


@dataclass(kw_only=True)
class Trec(Published):
    """Questions by their coarse class: ABBR, DESC, ENTY, HUM, LOC or NUM (Li and Roth 2002).

    Upstream has no dev split: a tenth of train becomes dev.
    """

    source = SOURCE

    def read(self, root: Path) -> Splits:
        """Read `train_5500.label` and `TREC_10.label`; see `Published.read`."""
        train, dev = hold_out(self._questions(root, "train_5500.label"))
        return Splits(train, dev, self._questions(root, "TREC_10.label"))

    def _questions(self, root: Path, name: str) -> Examples:
        path = SOURCE.find(root, f"trec/{name}")
        pairs = []
        for number, line in enumerate(read_text(path, "ISO-8859-1").split("\n"), start=1):
            if not line.strip():
                continue
            label, _, question = line.partition(" ")
            coarse, colon, _ = label.partition(":")
            if not colon:
                raise InputError(f"{path} line {number} is not `COARSE:fine question`: {line[:40]}")
            pairs.append((question, coarse))
        return examples_from(pairs, tokenizers.get(self.tokenizer))
