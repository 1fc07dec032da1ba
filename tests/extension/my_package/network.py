"""A network: a dense layer for each word, the maximum over the words, and the classes' scores."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress.data.batches import Batch
from ccompress.networks.base import Network


class MaxPooling(Network):
    """Each feature is the maximum over the words (Shen et al. 2018, SWEM-max).

    Args:
        hidden: The number of features. Every keyword parameter is an option, checked against its
            type.
    """

    def __init__(self, embedding: nn.Module, width: int, classes: int, *, hidden: int = 32) -> None:
        super().__init__(embedding, width, classes)
        self.features = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Scores (sentences, classes); the features of each distinct word are computed once."""
        features = F.relu(self.features(self.embedding(batch.words)))  # (distinct words, hidden)
        tokens = F.embedding(batch.positions, features)  # (tokens, hidden), sentence after sentence
        largest = torch.segment_reduce(tokens, "max", lengths=batch.lengths, unsafe=True)
        scores: Tensor = self.output(largest)
        return scores

    def flops(self, tokens: float, width: int) -> float:
        """2 (n width h + h C) for n tokens."""
        hidden = self.output.in_features
        return 2.0 * (tokens * width * hidden + hidden * self.classes)

    def first_layer(self) -> nn.Module:
        """The linear layer that alone reads the embedding, so that factor B can be folded into it.

        This function is optional.
        """
        return self.features

    def read_padded(self, words: Tensor, inside: Tensor) -> Tensor:
        """The same scores for padded sentences, which `ccompress export` needs.

        This function is optional.
        """
        features = F.relu(self.features(words)).masked_fill(~inside.unsqueeze(2), 0.0)
        scores: Tensor = self.output(features.amax(1))
        return scores
