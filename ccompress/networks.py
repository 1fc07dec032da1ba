"""The two networks of the paper: a deep averaging network and an LSTM.

Both read a `Batch`: the distinct words of some sentences, and for every token which of these words
it is. So the table is read once a word, its gradient names each row once, and whatever stands
between the table and the network (unpacking) is done once a word as well. A second factor B is not
multiplied by every word, but where it costs least: the DAN multiplies it by its means, the LSTM
into its weights, (x A) B W^T = (x A) (W B^T)^T, so that in training, too, it reads k columns.

The embedding is any module that turns word ids (n,) into vectors (n, width).
"""

import itertools
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.data.batches import Batch
from ccompress.errors import InputError


class Network(nn.Module, ABC):
    """A classifier of sentences over an embedding.

    Args:
        embedding: Maps word ids (n,) to vectors (n, width).
        width: Number of columns of these vectors.
        classes: Number of classes.
    """

    embedding: nn.Module

    def __init__(self, embedding: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.width = width
        self.classes = classes

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Scores before the softmax, (sentences, classes)."""

    def read(self, words: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the first layer reads of `words` (n,): vectors, and the factor that is left out.

        Rows of A (n, k) and B (k, width) where the embedding has `read_factors`, as
        `ccompress.LowRankEmbedding` has; else its vectors (n, width) and None.
        """
        read_factors = getattr(self.embedding, "read_factors", None)
        if read_factors is None:
            return self.embedding(words), None
        rows, factor = read_factors(words)
        return rows, factor

    @abstractmethod
    def flops(self, tokens: float, width: int) -> float:
        """Floating point operations for a sentence of `tokens` words, 2 a multiply-add.

        Counted are the matrix products, for an embedding of `width` columns that are read without
        arithmetic: a factorised one is folded, its B multiplied into the first layer once and for
        all, so that `width` is its rank.
        """

    def first_layer(self) -> nn.Module | None:
        """The `nn.Linear`, `nn.LSTM`, `nn.GRU` or `nn.RNN` that alone reads the embedding.

        Or reads means of it: nothing but linear maps stands between. A second factor is then
        multiplied into this layer (`ccompress.folding`); None, as here, keeps it apart.
        """
        return None

    def read_padded(self, words: Tensor, inside: Tensor) -> Tensor:
        """Scores before the softmax, of sentences filled up at their end to one length.

        What is exported; a network without it cannot be. Equal to `forward`, with dropout off.

        Args:
            words: The vector of every place (sentences, longest, width).
            inside: Which places are words of the sentence (sentences, longest).
        """
        raise NotImplementedError(f"{type(self).__name__} has no read_padded")


class DAN(Network):
    """Deep averaging network (Iyyer et al. 2015, section 3): mean of the words, then dense layers.

    In training each token is dropped with probability `word_dropout` (section 3.1 there); the mean
    is taken over those that are left.

    Args:
        hidden: Units of each ReLU layer.
        layers: Number of ReLU layers.
        word_dropout: Probability that a token is left out, in training.
        dropout: Probability that a hidden unit is zeroed, in training.
    """

    def __init__(
        self,
        embedding: nn.Module,
        width: int,
        classes: int,
        *,
        hidden: int = 300,
        layers: int = 2,
        word_dropout: float = 0.3,
        dropout: float = 0.0,
    ) -> None:
        _check_sizes(hidden=hidden, layers=layers)
        _check_probabilities(word_dropout=word_dropout, dropout=dropout)
        super().__init__(embedding, width, classes)
        self.word_dropout = word_dropout
        self.dropout = dropout
        sizes = [width, *[hidden] * layers]
        self.hidden = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(sizes)
        )
        self.output = nn.Linear(hidden, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Scores before the softmax, (sentences, classes)."""
        words, factor = self.read(batch.words)  # (distinct words, width or rank)
        mean = self.average(words, batch)
        return self.classify(mean if factor is None else mean @ factor)

    def average(self, words: Tensor, batch: Batch) -> Tensor:
        """Mean of each sentence's words (sentences, width); of those kept, in training."""
        if not (self.training and self.word_dropout):
            return F.embedding_bag(batch.positions, words, batch.offsets, mode="mean")
        kept = torch.rand(batch.positions.shape, device=words.device) >= self.word_dropout
        weights = kept.to(words.dtype)
        total = F.embedding_bag(
            batch.positions, words, batch.offsets, mode="sum", per_sample_weights=weights
        )
        # A sentence that lost every word reads as zeros, not as 0 / 0.
        count = torch.segment_reduce(weights, "sum", lengths=batch.lengths, unsafe=True)
        return total / count.clamp(min=1).unsqueeze(1)

    def classify(self, mean: Tensor) -> Tensor:
        """Scores (sentences, classes) from the mean word of each sentence (sentences, width)."""
        for layer in self.hidden:
            mean = F.dropout(F.relu(layer(mean)), self.dropout, self.training)
        scores: Tensor = self.output(mean)
        return scores

    def first_layer(self) -> nn.Module:
        """The first dense layer, since the mean of A[i] B is the mean of A[i], times B."""
        return self.hidden[0]

    def read_padded(self, words: Tensor, inside: Tensor) -> Tensor:
        """See `Network.read_padded`."""
        total = words.masked_fill(~inside.unsqueeze(2), 0.0).sum(1)
        return self.classify(total / inside.sum(1, keepdim=True).clamp(min=1))

    def flops(self, tokens: float, width: int) -> float:
        """See `Network.flops`: 2 (width h + (layers - 1) h^2 + h C); the mean has no product."""
        hidden = self.output.in_features
        inner = (len(self.hidden) - 1) * hidden**2
        return 2.0 * (width * hidden + inner + hidden * self.classes)


class LSTM(Network):
    """One LSTM layer, the mean of its states over the words, dropout, softmax layer.

    Sentences are laid side by side and padded at their end; a state never depends on what comes
    after it and the mean runs over the sentence's own words, so padding changes no output. With
    batches of similar lengths there is little of it, and one padded call is several times faster
    than packed sequences.

    Args:
        hidden: Units of the layer.
        dropout: Probability that a unit of the mean state is zeroed, in training.
    """

    def __init__(
        self,
        embedding: nn.Module,
        width: int,
        classes: int,
        *,
        hidden: int = 150,
        dropout: float = 0.5,
    ) -> None:
        _check_sizes(hidden=hidden)
        _check_probabilities(dropout=dropout)
        super().__init__(embedding, width, classes)
        self.dropout = dropout
        self.lstm = nn.LSTM(width, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Scores before the softmax, (sentences, classes)."""
        words, factor = self.read(batch.words)  # (distinct words, width or rank)
        steps = torch.arange(batch.longest, device=words.device).unsqueeze(1)
        inside = steps < batch.lengths  # (longest, sentences)
        places = (steps + batch.offsets).clamp_(max=len(batch.positions) - 1)
        padded = F.embedding(batch.positions[places], words)  # (longest, sentences, width)
        return self.classify(self.states(padded, factor), inside)

    def states(self, words: Tensor, factor: Tensor | None = None) -> Tensor:
        """States (longest, sentences, hidden) from words (longest, sentences, width).

        With a factor B (k, width), from rows of A (longest, sentences, k).
        """
        lstm = self.lstm
        if factor is None:
            return lstm(words)[0]  # type: ignore[no-any-return]
        first, *others = lstm.all_weights[0]
        weights = [first @ factor.T, *others]
        begin = words.new_zeros(1, words.shape[1], lstm.hidden_size)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        options = (True, 1, 0.0, self.training, False, False)
        return torch.lstm(words, (begin, begin), weights, *options)[0]

    def classify(self, states: Tensor, inside: Tensor) -> Tensor:
        """Scores (sentences, classes) from states (longest, sentences, hidden).

        `inside` (longest, sentences) says which of the states belong to a word.
        """
        lengths = inside.sum(0).clamp(min=1).unsqueeze(1)
        mean = states.masked_fill(~inside.unsqueeze(2), 0.0).sum(0) / lengths
        scores: Tensor = self.output(F.dropout(mean, self.dropout, self.training))
        return scores

    def first_layer(self) -> nn.Module:
        """The LSTM itself: its gates read W_ih x."""
        return self.lstm

    def read_padded(self, words: Tensor, inside: Tensor) -> Tensor:
        """See `Network.read_padded`."""
        return self.classify(self.states(words.transpose(0, 1)), inside.T)

    def flops(self, tokens: float, width: int) -> float:
        """See `Network.flops`: 2 (n 4 h (width + h) + h C) for n tokens."""
        hidden = self.output.in_features
        return 2.0 * (tokens * 4 * hidden * (width + hidden) + hidden * self.classes)


def _check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"network.{name}={size}: it is at least 1")


def _check_probabilities(**probabilities: float) -> None:
    """Refuse probabilities that are none, or that leave nothing."""
    for name, probability in probabilities.items():
        if not 0 <= probability < 1:
            raise InputError(f"network.{name}={probability}: it is at least 0 and below 1")
