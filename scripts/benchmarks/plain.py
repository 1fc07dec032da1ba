"""The usual training loop, with which ours is compared.

It has a data set of sentences, a DataLoader that pads them, and the same networks with the same
options. The LSTM reads packed sequences, `torch.optim.Adam` trains a dense table, and a copy of the
whole state keeps the best epoch. The loop is neither slowed down on purpose nor tuned.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from ccompress.data.batches import Encoded
from ccompress.data.text.vocabulary import PAD

LEARNING_RATE = 1e-3
BATCH_SIZE = 64


@dataclass(frozen=True)
class Epoch:
    """The measurements of one epoch of a contender.

    Attributes:
        seconds: The time for training and for evaluation on dev.
        evaluation: The seconds for evaluation alone.
        dev_accuracy: The accuracy on dev in percent.
    """

    seconds: float
    evaluation: float
    dev_accuracy: float


class Sentences(Dataset[tuple[Tensor, Tensor]]):
    """A split, sentence by sentence."""

    def __init__(self, split: Encoded) -> None:
        self.sentences = torch.split(split.tokens.cpu().long(), split.lengths.tolist())
        self.labels = split.labels.cpu()

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sentences[index], self.labels[index]


def collate(examples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Padded sentences (sentences, longest), their lengths and labels (sentences,)."""
    sentences, labels = zip(*examples, strict=True)
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    return pad_sequence(list(sentences), True, PAD), lengths, torch.stack(labels)


def loader(split: Encoded, shuffle: bool) -> "DataLoader[tuple[Tensor, Tensor]]":
    """Batches of a split."""
    return DataLoader(Sentences(split), BATCH_SIZE, shuffle=shuffle, collate_fn=collate)


class PlainDAN(nn.Module):
    """The deep averaging network on padded sentences; it has the options of our DAN."""

    def __init__(
        self,
        embedding: nn.Module,
        width: int,
        classes: int,
        *,
        hidden: int,
        layers: int,
        word_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.word_dropout = word_dropout
        sizes = [width] + [hidden] * layers
        blocks: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            blocks += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*blocks, nn.Linear(hidden, classes))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Scores (sentences, classes) of padded sentences (sentences, longest)."""
        keep = tokens != PAD
        if self.training:
            keep &= torch.rand(tokens.shape, device=tokens.device) >= self.word_dropout
        total = (self.embedding(tokens) * keep.unsqueeze(2)).sum(1)
        scores: Tensor = self.layers(total / keep.sum(1, keepdim=True).clamp(min=1))
        return scores


class PlainLSTM(nn.Module):
    """The LSTM on packed sequences; it has the options of our LSTM."""

    def __init__(
        self, embedding: nn.Module, width: int, classes: int, *, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Scores (sentences, classes) of padded sentences (sentences, longest)."""
        packed = pack_padded_sequence(
            self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mean = states.sum(1) / lengths.unsqueeze(1)  # states after the end are zeros
        scores: Tensor = self.output(self.dropout(mean))
        return scores


NETWORKS: dict[str, Any] = {"dan": PlainDAN, "lstm": PlainLSTM}


class PlainLoop:
    """A network in training, one epoch per call."""

    def __init__(
        self, network: nn.Module, train: Encoded, dev: Encoded, device: torch.device
    ) -> None:
        self.network = network.to(device)
        self.device = device
        self.train, self.dev = loader(train, True), loader(dev, False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.best_accuracy = -1.0
        self.best: dict[str, Tensor] = {}

    def epoch(self) -> Epoch:
        """Train one epoch, evaluate on dev and keep the best epoch."""
        began = time.perf_counter()
        self.network.train()
        losses = 0.0
        for tokens, lengths, labels in self.train:
            scores = self.network(tokens.to(self.device), lengths.to(self.device))
            loss = F.cross_entropy(scores, labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses += loss.item()
        trained = time.perf_counter()
        accuracy = self.evaluate()
        evaluated = time.perf_counter()
        if accuracy > self.best_accuracy:
            self.best_accuracy = accuracy
            self.best = copy.deepcopy(self.network.state_dict())
        return Epoch(time.perf_counter() - began, evaluated - trained, accuracy)

    @torch.no_grad()
    def evaluate(self) -> float:
        """Accuracy on dev, in percent."""
        self.network.eval()
        correct, seen = 0, 0
        for tokens, lengths, labels in self.dev:
            scores = self.network(tokens.to(self.device), lengths.to(self.device))
            correct += int((scores.argmax(1).cpu() == labels).sum())
            seen += len(labels)
        return 100 * correct / seen
