"""CLINC150: requests to a task-driven assistant, 150 intents."""

from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import Splits, examples_from, parse_json, read_text
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import File, Source
from ccompress.data.text import tokenizers
from ccompress.errors import InputError

SOURCE = Source(
    name="clinc150",
    title="CLINC150, 150 in-scope intents (Larson et al. 2019)",
    home="https://github.com/clinc/oos-eval",
    licence="CC BY 3.0",
    files=(
        File(
            "clinc150/data_full.json",
            "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
            "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json",
        ),
    ),
    megabytes=2.5,
    sizes=(15000, 3000, 4500, 150),
)


@dataclass(kw_only=True)
class Clinc150(Published):
    """Requests of 150 intents in ten domains; the out-of-scope ones are left out.

    Source: Larson et al. 2019, `data_full.json`. Upstream's `val` is the dev split.
    """

    source = SOURCE

    def read(self, root: Path) -> Splits:
        """Read `data_full.json`; see `Published.read`."""
        path = SOURCE.find(root, "clinc150/data_full.json")
        contents = parse_json(read_text(path), str(path))
        tokenize = tokenizers.get(self.tokenizer)
        try:
            train, dev, test = (
                examples_from(((text, intent) for text, intent in contents[split]), tokenize)
                for split in ("train", "val", "test")
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f'{path} has not the form of data_full.json, {{"train": [[text, intent], ...],'
                f' "val": ..., "test": ...}}: {error!r}'
            ) from error
        return Splits(train, dev, test)
