"""Folding: a factorised embedding's second factor, multiplied into the layer that reads it.

A network that reads A[i] B by a linear layer W computes W (B^T A[i]), and W B^T is a matrix like W
of k columns. With it the network reads A[i] alone: an ordinary embedding of k columns, with neither
B nor its product, and a first layer of k inputs in place of d. Such a network is no slower than the
uncompressed one, while the two layers that Acharya et al. (2019) train take a product a word more.
"""

import copy

import torch
from torch import Tensor, nn

from ccompress.networks.base import Network


def fold(network: Network) -> Network:
    """An equal network without the second factor; the network itself where there is nothing to do.

    Folded is an embedding that has `factors()`, as `ccompress.LowRankEmbedding` has, below a
    network that names its `first_layer()`. The product is taken in float64, so that scores differ
    by float32's rounding only. A's tensors are shared, the rest is copied.
    """
    factors = getattr(network.embedding, "factors", None)
    if factors is None or network.first_layer() is None:
        return network
    table, factor = factors()
    # deepcopy takes what its memo names for copied: the table is neither copied nor kept.
    folded = copy.deepcopy(network, {id(network.embedding): table})
    layer = folded.first_layer()
    assert layer is not None
    _read_factor(layer, factor)
    folded.width = len(factor)
    return folded


@torch.no_grad()
def _read_factor(layer: nn.Module, factor: Tensor) -> None:
    """Let `layer` read x (k) in the place of x `factor` (d), whose shape is (k, d)."""
    if isinstance(layer, nn.Linear):
        names, layer.in_features = ["weight"], len(factor)
    elif isinstance(layer, nn.RNNBase):
        directions = ("", "_reverse")[: 1 + layer.bidirectional]
        names, layer.input_size = [f"weight_ih_l0{end}" for end in directions], len(factor)
    else:
        raise TypeError(
            f"first_layer() is a {type(layer).__name__}; a factor can be folded into nn.Linear, "
            f"nn.LSTM, nn.GRU and nn.RNN"
        )
    for name in names:
        weight = getattr(layer, name)
        product = (weight.double() @ factor.double().T).to(weight.dtype)
        setattr(layer, name, nn.Parameter(product, requires_grad=weight.requires_grad))
    if isinstance(layer, nn.RNNBase):
        layer.flatten_parameters()  # a GPU wants them in one piece of memory
