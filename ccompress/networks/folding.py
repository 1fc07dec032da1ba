"""Folding: multiplying a factorised embedding's second factor into the layer that reads it.

A linear layer W that reads A[i] B computes W (B^T A[i]), and W B^T is a matrix with k columns. With
that matrix as its first layer, the network reads A[i] alone: an ordinary embedding of k columns,
without B. Such a network is no slower than the uncompressed one, while the two layers that Acharya
et al. (2019) train need one more product per word.
"""

import copy

import torch
from torch import Tensor, nn

from ccompress.networks.base import Network


def fold(network: Network) -> Network:
    """An equal network without the second factor, or the network itself if nothing can be folded.

    Folding needs an embedding with `factors()`, such as `ccompress.LowRankEmbedding`, and a network
    that names its `first_layer()`. The product is taken in float64, so scores differ only by
    float32's rounding. The result shares A's tensors and copies the rest.
    """
    factors = getattr(network.embedding, "factors", None)
    if factors is None or network.first_layer() is None:
        return network
    table, factor = factors()
    # deepcopy takes what its memo holds as copied already, so the table itself is not copied.
    folded = copy.deepcopy(network, {id(network.embedding): table})
    layer = folded.first_layer()
    assert layer is not None
    _read_factor(layer, factor)
    folded.width = len(factor)
    return folded


def narrow(network: Network, width: int) -> None:
    """Give a network the shapes of a folded one, whose first layer reads `width` columns.

    The layer's weights are zeros, to be loaded.
    """
    layer = network.first_layer()
    assert layer is not None
    device = next(layer.parameters()).device
    _read_factor(layer, torch.zeros(width, network.width, device=device))
    network.width = width


def first_weights(layer: nn.Module) -> list[str]:
    """The names of a first layer's matrices (outputs, width) that read the embedding.

    Raises:
        TypeError: No factor can be folded into such a layer.
    """
    if isinstance(layer, nn.Linear):
        return ["weight"]
    if isinstance(layer, nn.RNNBase):
        directions = ("", "_reverse")[: 1 + layer.bidirectional]
        return [f"weight_ih_l0{end}" for end in directions]
    raise TypeError(
        f"first_layer() is a {type(layer).__name__}; a factor can be folded into nn.Linear, "
        f"nn.LSTM, nn.GRU and nn.RNN"
    )


@torch.no_grad()
def _read_factor(layer: nn.Module, factor: Tensor) -> None:
    """Let `layer` read x (k) where it read x @ factor (d); the factor's shape is (k, d)."""
    names = first_weights(layer)
    if isinstance(layer, nn.Linear):
        layer.in_features = len(factor)
    elif isinstance(layer, nn.RNNBase):
        layer.input_size = len(factor)
    for name in names:
        weight = getattr(layer, name)
        product = (weight.double() @ factor.double().T).to(weight.dtype)
        setattr(layer, name, nn.Parameter(product, requires_grad=weight.requires_grad))
    if isinstance(layer, nn.RNNBase):
        layer.flatten_parameters()  # a GPU wants them in one piece of memory
