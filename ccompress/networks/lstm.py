"""One LSTM layer and the mean of its states."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.data.batches import Batch
from ccompress.networks.base import Network, check_probabilities, check_sizes


def flat(weights: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors into one piece of memory, one after another; gradients pass through.

    cuDNN wants the weights of a layer like this, in torch's order: W_ih, W_hh, b_ih, b_hh.
    Otherwise it copies them together at each call and warns.
    """
    whole = torch.cat([weight.reshape(-1) for weight in weights])
    parts = torch.split(whole, [weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


class LSTM(Network):
    """One LSTM layer, the mean of its states over the words, dropout, softmax layer.

    Sentences are laid side by side and padded at their end. A state does not depend on what comes
    after it, and the mean runs over the sentence's own words, so padding changes no output. Batches
    hold sentences of similar lengths, so there is little padding, and one padded call is several
    times faster than packed sequences.

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
        check_sizes(hidden=hidden)
        check_probabilities(dropout=dropout)
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

        With a factor B (k, width), `words` are rows of A (longest, sentences, k).
        """
        lstm = self.lstm
        if factor is None:
            return lstm(words)[0]  # type: ignore[no-any-return]
        first, *others = lstm.all_weights[0]
        weights = [first @ factor.T, *others]
        if words.is_cuda:
            weights = flat(weights)
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
