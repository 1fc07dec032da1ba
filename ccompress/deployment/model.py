"""The small network as a user would ship it: one complete file that is read without pickle."""

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ccompress.data.base import Columns
from ccompress.data.batches import Encoded
from ccompress.data.text import tokenizers, vocabulary
from ccompress.data.text.vocabulary import PAD, rows_by_word
from ccompress.deployment import file_contents, finding, linear
from ccompress.deployment.classifier import Classifier
from ccompress.deployment.file_contents import Contents
from ccompress.deployment.finding import FILE as FILE
from ccompress.errors import InputError
from ccompress.locate import locate, path_of, refuse_untrusted
from ccompress.networks import rest
from ccompress.networks.base import Network, tensor_bytes
from ccompress.networks.folding import fold, narrow
from ccompress.training.evaluation import predict


@dataclass(frozen=True, repr=False)
class Model(Classifier):
    """A trained network with everything that is needed to read raw text.

    Attributes:
        network: The network in evaluation mode. The network of a stored model is folded
            (`ccompress.networks.folding`).
        words: The word of each row of the embedding table.
        labels: Names of the classes, in the order of the network's scores.
        tokenizer: A name known to `ccompress.data.text.tokenizers.get`.
        config: Its `network` is what the network is built from; its `rest`, if there, is the
            precision at which all layers but the embedding are stored, otherwise float32. Files of
            the first format hold all else of their run's configuration too.
        columns: See `Classifier`.
    """

    network: Network
    words: list[str]
    labels: list[str]
    tokenizer: str
    config: Mapping[str, Any]
    columns: Columns | None = None

    @property
    def kind(self) -> str:
        """See `Classifier.kind`."""
        return f"{type(self.network).__name__} over {len(self.words):,} rows of words"

    @property
    def ngrams(self) -> int:
        """The most words of an n-gram that the network reads; 1: it reads words alone."""
        return int(self.config["network"].get("ngrams", 1))

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return rows_by_word(self.words)

    def encode(self, text: str) -> list[int]:
        """The rows of a text's words and n-grams; for a text without words, that of `<pad>`."""
        return self._encoded(self.tokens(text))

    def _encoded(self, tokens: list[str]) -> list[int]:
        return vocabulary.encode(tokens, self._rows, self.ngrams) or [PAD]

    def scored(self, texts: Sequence[list[str]]) -> Tensor:
        """See `Classifier.scored`."""
        if not texts:
            return torch.empty(0, len(self.labels))
        encoded = [self._encoded(tokens) for tokens in texts]
        split = Encoded(
            torch.tensor([row for rows in encoded for row in rows]),
            torch.tensor([len(rows) for rows in encoded]),
            torch.zeros(len(encoded), dtype=torch.long),
        )
        device = next(iter(self.network.state_dict().values())).device
        return predict(self.network, split.to(device)).softmax(1).cpu()


def build(make: functools.partial[Any], embedding: nn.Module, classes: int) -> Network:
    """The network that reads `embedding`; `make` takes embedding, width and classes."""
    network = make(embedding, width_of(embedding), classes)
    assert isinstance(network, Network)
    return network


@torch.no_grad()
def width_of(embedding: nn.Module) -> int:
    """The length of an embedding's vectors."""
    return int(embedding(torch.zeros(1, dtype=torch.long)).shape[1])


def reference_bytes(make: functools.partial[Any], rows: int, dim: int, classes: int) -> int:
    """Bytes of all tensors of the uncompressed network, counted without allocating memory."""
    with torch.device("meta"):
        return tensor_bytes(make(nn.Embedding(rows, dim), dim, classes))


def contents(small: Model) -> Contents:
    """Return what the model's file holds: the network as it is shipped, its embedding compressed.

    Raises:
        InputError: The constructor's arguments cannot be read from the embedding, which happens
            only to a user's own class.
    """
    precision = small.config.get("rest", rest.FLOAT32)
    network = rest.shipped(small.network, precision)
    about: dict[str, Any] = {
        "labels": small.labels,
        "tokenizer": small.tokenizer,
        "embedding": _described(network.embedding),
        "config": {key: small.config[key] for key in ("network", "rest") if key in small.config},
    }
    if small.columns:
        about["columns"] = small.columns._asdict()
    if network.width != small.network.width:
        about["width"] = small.network.width  # that its class built it with
    return file_contents.pack(network, small.words, rest.packed(network, precision), about)


def save(path: Path, small: Model) -> int:
    """Write a model file (`contents`) atomically and return its size in bytes."""
    contents(small).write(path)
    return path.stat().st_size


def load(
    path: str | Path, device: torch.device | str = "cpu", trust: str | Iterable[str] = ()
) -> Classifier:
    """Read the small model of a run, or a linear baseline, on this machine or another.

    The file names the network, the embedding and the tokenizer by dotted paths. Each path must
    belong to ccompress or to a package that the caller trusts. This is checked before anything is
    imported.

    Args:
        path: The run's folder, a model file, or the first letters of the id of a run in
            `results/runs`.
        device: The device that the network runs on.
        trust: One or more packages that the file may use in addition to ccompress, because they
            define a network, an embedding or a tokenizer of your own.

    Raises:
        InputError: The file does not exist, is damaged, is not a model, names code that is not
            trusted, or needs code that is not installed here.

    Example::

        small = ccompress.load("results/runs/3f2a6c0d9b1e")
        for text, prediction in zip(texts, small.predict(texts)):
            print(text, prediction.label, prediction.probability, prediction.probabilities)
    """
    path = finding.file_of(str(path))
    packages = (trust,) if isinstance(trust, str) else trust
    stored = file_contents.opened(path)
    try:
        if linear.is_linear(stored):
            return _linear(stored, packages, path)
        return _network(stored, packages, path, device)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path} is not a complete model: it lacks {error}") from error
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be built by this ccompress: {reason}") from error


def _linear(stored: file_contents.Stored, trust: Iterable[str], path: Path) -> linear.LinearModel:
    """The linear classifier that a file holds."""
    small = linear.from_file(stored, path)
    refuse_untrusted(_code_of(small.tokenizer), trust, path)
    tokenizers.get(small.tokenizer)
    return small


def _network(
    stored: file_contents.Stored, trust: Iterable[str], path: Path, device: torch.device | str
) -> Model:
    """The network that a file holds, ready to read text."""
    tensors, words, about = file_contents.read(stored, path)
    labels, described, options = about["labels"], about["embedding"], about["config"]["network"]
    named = [options["_target_"], described["_target_"], *_code_of(about["tokenizer"])]
    refuse_untrusted(named, trust, path)
    if not labels:
        raise ValueError("it has no labels")
    embedding = factory(nn.Module, described)()
    network = _built(factory(Network, options), embedding, len(labels), about.get("width"))
    precision = about["config"].get("rest", rest.FLOAT32)
    tensors = rest.unpacked(network, tensors, precision)
    # assign: the network takes over the stored tensors, without copying them
    network.load_state_dict(tensors, assign=True)
    rows = getattr(embedding, "num_embeddings", len(words))
    if len(words) != rows:
        raise ValueError(f"it has {len(words)} words for {rows} rows")
    tokenizers.get(about["tokenizer"])
    # Earlier versions stored the network without folding it.
    network = fold(network).requires_grad_(False).eval().to(device)
    columns = file_contents.columns_of(about)
    return Model(network, words, labels, about["tokenizer"], about["config"], columns)


def _code_of(tokenizer: str) -> list[str]:
    """The dotted path of a tokenizer that is a function of one's own; none for one of ours."""
    return [] if tokenizer in tokenizers.TOKENIZERS else [tokenizer]


def _built(
    make: functools.partial[Any], embedding: nn.Module, classes: int, unfolded: int | None
) -> Network:
    """The network of a model file.

    Args:
        make: Builds the network from embedding, width and number of classes.
        embedding: The stored embedding.
        classes: The number of classes.
        unfolded: The network's width before it was folded; None if it was not folded.
    """
    if unfolded is None:
        return build(make, embedding, classes)
    network: Network = make(embedding, unfolded, classes)
    narrow(network, width_of(embedding))
    return network


def _described(module: nn.Module) -> dict[str, Any]:
    """The class of an embedding and its constructor's arguments, in the form of a YAML file.

    Each argument is read from the attribute of the same name, where torch's modules and ours keep
    it.
    """
    kind = type(module)
    described: dict[str, Any] = {"_target_": path_of(kind)}
    for name, parameter in inspect.signature(kind).parameters.items():
        optional = parameter.default is not parameter.empty
        if optional and not hasattr(module, name):
            continue  # such as `device`, which a constructor uses but does not keep
        value = getattr(module, name, module)
        if not isinstance(value, int | float | str | None):
            raise InputError(
                f"{kind.__name__} cannot be stored: its constructor's {name!r} must be a plain "
                f"value and an attribute of it, or give save_model=false"
            )
        described[name] = value
    return described


def factory(base: type, described: Mapping[str, Any]) -> functools.partial[Any]:
    """The inverse of `_described`: a subclass of `base` with its arguments, not yet called."""
    options = dict(described)
    path = options.pop("_target_")
    kind = locate(path)
    # A trusted package may hold anything, so only a class of the right kind is called.
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TypeError(f"{path} is not a subclass of {base.__name__}")
    return functools.partial(kind, **options)
