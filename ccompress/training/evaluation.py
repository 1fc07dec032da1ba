"""Scores and accuracy of a network on a split."""

import torch
from torch import Tensor

from ccompress.data.batches import Encoded, evaluation_batches
from ccompress.networks.base import Network


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Percentage of sentences whose largest score is that of their label.

    Args:
        scores: The scores (sentences, classes).
        labels: The class of each sentence (sentences,).
    """
    return 100.0 * int((scores.argmax(1) == labels).sum()) / len(labels)


@torch.no_grad()
def predict(network: Network, split: Encoded) -> Tensor:
    """Scores (sentences, classes) of the sentences of `split`, in their order, without dropout."""
    network.eval()
    batches = [(batch.sentences, network(batch)) for batch in evaluation_batches(split)]
    sentences, scores = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return scores[torch.argsort(sentences)]
