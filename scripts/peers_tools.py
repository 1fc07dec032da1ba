"""The tools of `scripts/peers`: each trains a small classifier and stores it in one file.

All read the same tokens, and training words only. fastText and torch's tables need the extra
`[peers]`: fasttext-numpy2 (MIT) is fastText for numpy 2, torchao is BSD-3-Clause.
"""

import copy
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ccompress.baselines import tfidf
from ccompress.config.composition import settings_from
from ccompress.data.base import Splits
from ccompress.data.batches import Encoded
from ccompress.data.text import vocabulary
from ccompress.data.text.vocabulary import UNK, rows_by_word
from ccompress.deployment import model
from ccompress.deployment.linear import LinearModel
from ccompress.experiment import results, run
from ccompress.networks.base import Network
from ccompress.training.evaluation import predict

VECTORS = "vectors=imdb_glove300"
# fastText draws only a tenth of its matrix per thread, so fewer than ten leave a part of it unset.
_THREADS = 12
_BUCKETS = 100_000  # rows of hashed n-grams before pruning

Predict: TypeAlias = Callable[[Sequence[list[str]]], list[str]]


class Task(NamedTuple):
    """A data set, tokenized by its tokenizer, and the folder for trained networks."""

    name: str
    splits: Splits
    tokenizer: str
    runs: Path


class Stored(NamedTuple):
    """A classifier that was stored.

    Attributes:
        path: Its one file.
        predict: Predicts the label of each tokenized text.
        seconds: The time of its training.
        command: The command line of the run of `ccompress` that trained it, or "".
    """

    path: Path
    predict: Predict
    seconds: float
    command: str = ""


def load(name: str, runs: Path) -> Task:
    """Read a data set from the data root."""
    settings = settings_from([f"dataset={name}", "vectors=random", "method=none"])
    splits = settings.dataset.load(settings.root)
    return Task(name, splits, settings.dataset.tokenizer, runs)


def tfidf_models(task: Task, folder: Path) -> Iterator[tuple[str, Stored]]:
    """What `ccompress baseline` tries: settings and models of all sizes."""
    path = folder / "tfidf.safetensors"
    labels = sorted(set(task.splits.train.labels))
    make = functools.partial(LinearModel, labels=labels, tokenizer=task.tokenizer)
    begun = time.monotonic()
    for fitted, classifier, levels in tfidf.candidates(task.splits, labels, make):
        seconds = time.monotonic() - begun
        fitted.save(path)
        stored = LinearModel.load(path)
        setting = f"features={len(stored.ngrams)} levels={levels} {classifier}"
        yield setting, Stored(path, _by_scores(stored.scores, labels), seconds)
        begun = time.monotonic()


def _by_scores(score: Callable[[Sequence[list[str]]], Any], labels: Sequence[str]) -> Predict:
    """Predicts the label of the largest score; `score` gives them, (texts, classes)."""

    def predicted(texts: Sequence[list[str]]) -> list[str]:
        return [labels[number] for number in score(texts).argmax(1).tolist()]

    return predicted


def ccompress_model(task: Task, setting: str, seed: int, folder: Path) -> Stored:
    """Train with `in_training_svd_mixed`; the setting is the rest of the command line."""
    return _trained(task, ["method=in_training_svd_mixed", *setting.split()], seed)[1]


def _trained(task: Task, options: Sequence[str], seed: int) -> tuple[model.Model, Stored]:
    """A run of `ccompress`, unless it is finished, and its stored model."""
    overrides = [f"dataset={task.name}", VECTORS, *options, f"seed={seed}"]
    settings = settings_from([*overrides, "threads=1", f"runs_dir={task.runs}"])
    command = results.command_line(overrides, (), settings.method.uses_rate)
    row = run.run(settings, command, on_epoch=lambda _: None)
    path = settings.folder / model.FILE
    small = model.load(path)
    assert isinstance(small, model.Model)
    predicts = _by_scores(small.scored, small.labels)
    return small, Stored(path, predicts, row["train_seconds"], command)


def _scores(network: Network, small: model.Model) -> Callable[[Sequence[list[str]]], Tensor]:
    """Scores of another network that reads words as a stored model does."""
    rows = rows_by_word(small.words)

    def score(texts: Sequence[list[str]]) -> Tensor:
        read = [vocabulary.encode(tokens, rows, small.ngrams) for tokens in texts]
        split = Encoded(
            torch.tensor([row for one in read for row in one]),
            torch.tensor([len(one) for one in read]),
            torch.zeros(len(read), dtype=torch.long),
        )
        return predict(network, split)

    return score


def torch_model(task: Task, setting: str, seed: int, folder: Path) -> Stored:
    """Train the uncompressed network, and store it as torch quantizes it.

    The setting is the form of the table, `table=torch.ao-4`, and the options of the network. The
    dense layers have 8 bits in each form.
    """
    form, *options = setting.split()
    small, trained = _trained(task, ["method=none", *options], seed)
    package, _, bits = form.removeprefix("table=").partition("-")
    network = QUANTIZE[package](small.network, int(bits)).eval()
    path = folder / "torch.pt"
    torch.save({"state": network.state_dict(), "words": small.words, "labels": small.labels}, path)
    return trained._replace(path=path, predict=_by_scores(_scores(network, small), small.labels))


def _by_torch(network: Network, bits: int) -> Network:
    from torch.ao import quantization
    from torch.ao.nn import quantized

    configuration = {
        8: quantization.float_qparams_weight_only_qconfig,
        4: quantization.float_qparams_weight_only_qconfig_4bit,
    }
    plain = _plain(network.embedding)
    plain.qconfig = configuration[bits]  # type: ignore[assignment]
    small = quantized.Embedding.from_float(plain)  # type: ignore[no-untyped-call]
    if bits == 4:  # from_float forgets the type, and the table would be read as bytes
        small.dtype = small._packed_params.dtype = torch.quint4x2
    dense = network.over(nn.Identity())
    whole = quantization.quantize_dynamic(dense, {nn.Linear})  # type: ignore[no-untyped-call]
    return whole.over(small)  # type: ignore[no-any-return]


def _by_torchao(network: Network, bits: int) -> Network:
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    def is_table(module: nn.Module, _: str) -> bool:
        return isinstance(module, nn.Embedding)

    def is_dense(module: nn.Module, _: str) -> bool:
        return isinstance(module, nn.Linear)

    small = copy.deepcopy(network).over(_plain(network.embedding))
    numbers_of = {8: torch.int8, 4: torch.int4}  # type: ignore[attr-defined]
    for chosen, width in ((is_table, bits), (is_dense, 8)):
        numbers = numbers_of[width]
        configuration = IntxWeightOnlyConfig(weight_dtype=numbers, granularity=PerAxis(0))
        quantize_(small, configuration, filter_fn=chosen)
    return small


QUANTIZE: dict[str, Callable[[Network, int], Network]] = {
    "torch.ao": _by_torch,
    "torchao": _by_torchao,
}


def _plain(table: nn.Module) -> nn.Embedding:
    """An uncompressed table as torch's own class, which its quantization asks for."""
    (weight,) = table.state_dict().values()
    rows, dim = weight.shape
    return nn.Embedding(rows, dim, _weight=weight)


class _FastText(NamedTuple):
    """A setting of fastText.

    Attributes:
        dim: Numbers in a vector.
        ngrams: The longest n-gram that has a vector.
        vectors: Whether words start from the pretrained vectors, reduced to `dim` by an SVD.
        lr: The learning rate.
        epochs: The number of epochs.
        cutoff: How many words and n-grams are kept; 0 keeps all.
        dsub: How many numbers share a byte.
    """

    dim: int
    ngrams: int
    vectors: bool
    lr: float
    epochs: int
    cutoff: int
    dsub: int

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self._asdict().items())

    @classmethod
    def read(cls, text: str) -> "_FastText":
        """The setting that was written as text."""
        values = dict(word.split("=") for word in text.split())
        numbers = {
            k: float(v) if k == "lr" else int(v) for k, v in values.items() if k != "vectors"
        }
        return cls(**numbers, vectors=values["vectors"] == "True")  # type: ignore[arg-type]


def fasttext_model(task: Task, setting: str, seed: int, folder: Path) -> Stored:
    """Train fastText's classifier, prune and quantize it with training, and store its .ftz."""
    import fasttext

    chosen = _FastText.read(setting)
    begun = time.monotonic()
    labels = sorted(set(task.splits.train.labels))
    numbers = {label: f"__label__{number}" for number, label in enumerate(labels)}
    examples = task.splits.train
    lines = (
        f"{numbers[label]} {' '.join(tokens)}\n"
        for label, tokens in zip(examples.labels, examples.tokens, strict=True)
    )
    texts, path = folder / "train.txt", folder / "fasttext.ftz"
    texts.write_text("".join(lines), encoding="utf-8")
    vectors = {}
    if chosen.vectors:
        vectors["pretrainedVectors"] = str(_write_vectors(task, chosen.dim, folder / "words.vec"))
    trained = fasttext.train_supervised(
        str(texts),
        dim=chosen.dim,
        wordNgrams=chosen.ngrams,
        lr=chosen.lr,
        epoch=chosen.epochs,
        bucket=_BUCKETS if chosen.ngrams > 1 else 0,
        thread=_THREADS,
        seed=seed,
        verbose=0,
        **vectors,
    )
    trained.quantize(
        str(texts),
        retrain=True,
        qnorm=True,
        cutoff=chosen.cutoff,
        dsub=chosen.dsub,
        thread=_THREADS,
        verbose=0,
    )
    trained.save_model(str(path))
    seconds = time.monotonic() - begun
    stored = fasttext.load_model(str(path))

    def predicted(tokens: Sequence[list[str]]) -> list[str]:
        answers, _ = stored.predict([" ".join(words) for words in tokens])
        return [labels[int(answer[0].removeprefix("__label__"))] for answer in answers]

    return Stored(path, predicted, seconds)


def _write_vectors(task: Task, dim: int, path: Path) -> Path:
    """Write the training words' vectors as text, reduced to `dim` numbers if they have more."""
    data = run.prepare(settings_from([f"dataset={task.name}", VECTORS, f"runs_dir={task.runs}"]))
    table = data.table.numpy().astype(np.float64)
    if dim < table.shape[1]:
        left, values, _ = np.linalg.svd(table, full_matrices=False)
        table = left[:, :dim] * values[:dim]
    words = data.words[UNK + 1 :]
    lines = [f"{len(words)} {dim}"]
    for word, row in zip(words, table[UNK + 1 :], strict=True):
        lines.append(f"{word} {' '.join(f'{value:.5g}' for value in row)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Tool(NamedTuple):
    """A tool with random results: how it trains, and the settings that it tries."""

    train: Callable[[Task, str, int, Path], Stored]
    settings: Sequence[str]


def _ours(network: str, *rates: str) -> list[str]:
    return [f"rate={rate} rest=int8 {network}".strip() for rate in rates]


_SMALL = "network.hidden=50 network.layers=1 vocab.min_count="
_NETWORKS = ("", f"{_SMALL}2", f"{_SMALL}5")
_FORMS = ("torch.ao-8", "torch.ao-4", "torchao-8", "torchao-4")

# Each has as many settings; dev chooses among them.
TOOLS = {
    "ccompress": Tool(
        ccompress_model,
        [
            *_ours(f"{_SMALL}2", "0.95", "0.975", "0.985", "0.99", "0.995"),
            *_ours(f"{_SMALL}2 network.ngrams=2", "0.975", "0.99"),
            *_ours(f"{_SMALL}5", "0.95", "0.99"),
            *_ours(f"{_SMALL}10", "0.99"),
            *_ours("", "0.975", "0.99"),
        ],
    ),
    "torch": Tool(
        torch_model,
        [f"table={form} {network}".strip() for network in _NETWORKS for form in _FORMS],
    ),
    "fastText": Tool(
        fasttext_model,
        [
            str(_FastText(*values))
            for values in (
                (8, 1, False, 0.5, 25, 500, 4),
                (10, 2, False, 1.0, 10, 350, 2),
                (16, 1, False, 0.5, 25, 1200, 2),
                (16, 2, False, 0.5, 25, 1500, 4),
                (16, 2, True, 0.5, 25, 1400, 4),
                (16, 2, False, 0.5, 25, 3500, 2),
                (16, 3, False, 0.5, 10, 3500, 2),
                (32, 2, True, 0.5, 25, 2500, 4),
                (50, 2, False, 0.5, 25, 4500, 2),
                (50, 2, True, 0.5, 25, 4500, 2),
                (100, 2, False, 0.5, 25, 20000, 4),
                (100, 2, True, 0.5, 25, 20000, 4),
            )
        ],
    ),
}
