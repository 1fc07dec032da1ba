"""SNIPS: requests to a voice assistant, by intent."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ccompress.data.base import (
    Examples,
    Splits,
    examples_from,
    hold_out,
    parse_json,
    read_bytes,
)
from ccompress.data.datasets.published import Published
from ccompress.data.downloads.source import File, Source
from ccompress.data.text import tokenizers
from ccompress.errors import InputError

_HOST = (
    "https://raw.githubusercontent.com/sonos/nlu-benchmark/b86ac7f1577868c42158d0dec77db50956046696"
    "/2017-06-custom-intent-engines"
)
# intent -> SHA-256 of its training file, of its validation file
_CHECKSUMS = {
    "AddToPlaylist": (
        "fee1b4645352e70ed8a40f1f87c3b53fc3bf75f8ebc82252a22b82c107e75b01",
        "14cc9ee49ae477b1452632a6e835498cf4c32da397b16967c82abb3e50403e83",
    ),
    "BookRestaurant": (
        "7677e82cd6e9a8191f0a4502568c786278c984900b4796d3628e46f1abf73ef4",
        "4f7258ccc768b777b2eb8916532db9aa50dbd058ddf1ffb0dc59218963e7442a",
    ),
    "GetWeather": (
        "86f414b2ad8a993134d85d16e25e5d337beae47cef993c0af2a5f440405c60f6",
        "60c095e193655d6ca92be220fed3926ca25e18cd70c85664145efe25d80993af",
    ),
    "PlayMusic": (
        "901ddbe9781d1fdb8196e789c543f80df3d29ca6e237da64947905adcc0312e4",
        "922212775e26259d5bffeaf79b6048d070ca017d229df00b2cc9800f71c75d20",
    ),
    "RateBook": (
        "bb43e4b74134300d5766f6b420d0357a63402987a225f6dc92c806c9c040ce04",
        "c1f8b4114da0bb5e8afd78a8062766e18b2eabb0e717539598db01b09d04619b",
    ),
    "SearchCreativeWork": (
        "87b3432de48c71c205aa5238b41d9e3f2d70bdfcd0bea2427544fb9e4bd5e5bb",
        "8a5e830eddb185d3e4a9d27ded140a145d04766bdce0e58834676ede32d13e77",
    ),
    "SearchScreeningEvent": (
        "5447e9440c02e2fb08c3ae16b9f58a4d1332b4bc77fd34691402b02aa4399765",
        "81e1445713e03c7c3e615353c5f3fee05f369fe9834100b9b9735900a96b9498",
    ),
}
_TRAIN, _TEST = "train_{}_full.json", "validate_{}.json"

SOURCE = Source(
    name="snips",
    title="SNIPS 2017-06 custom intents, 7 intents (Coucke et al. 2018)",
    home="https://github.com/sonos/nlu-benchmark",
    licence="CC0 1.0",
    files=tuple(
        File(f"snips/{name.format(intent)}", sha256, f"{_HOST}/{intent}/{name.format(intent)}")
        for intent, checksums in _CHECKSUMS.items()
        for name, sha256 in zip((_TRAIN, _TEST), checksums, strict=True)
    ),
    megabytes=4.7,
    sizes=(12406, 1378, 700, 7),
)


@dataclass(kw_only=True)
class Snips(Published):
    """Spoken requests of seven intents, `RateBook` among them (Coucke et al. 2018).

    Upstream's validation files serve as the test split; a tenth of train becomes dev.
    """

    source = SOURCE

    def read(self, root: Path) -> Splits:
        """Read the `train_*_full.json` and `validate_*.json` files; see `Published.read`."""
        train, dev = hold_out(self._requests(root, _TRAIN))
        return Splits(train, dev, self._requests(root, _TEST))

    def _requests(self, root: Path, name: str) -> Examples:
        paths = {intent: SOURCE.find(root, f"snips/{name.format(intent)}") for intent in _CHECKSUMS}
        pairs = ((text, intent) for intent, path in paths.items() for text in _texts(path, intent))
        return examples_from(pairs, tokenizers.get(self.tokenizer))


def _texts(path: Path, intent: str) -> Iterator[str]:
    """The text of each request, joined from its parts with and without a slot."""
    try:
        # train_PlayMusic_full.json holds an emoji as two surrogates, which UTF-8 proper forbids.
        # Read as ISO-8859-1, as is often done, the file loses all its accented letters instead.
        text = read_bytes(path).decode("UTF-8", "surrogatepass")
        text = text.encode("UTF-16", "surrogatepass").decode("UTF-16")
    except UnicodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    try:
        for request in parse_json(text, str(path))[intent]:
            yield "".join(part["text"] for part in request["data"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} has not the form of a SNIPS file,"
            f' {{"{intent}": [{{"data": [{{"text": ...}}]}}]}}: {error!r}'
        ) from error
