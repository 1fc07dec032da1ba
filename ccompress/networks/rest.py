"""The rest of a network, all layers but the embedding, in few bits.

What is rounded is what is shipped: the folded network, whose first layer has the embedding's second
factor multiplied into it. Matrices get a step for each row, vectors such as biases become bfloat16
(`ccompress.numerics.rounding`).
"""

import copy
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ccompress.data.batches import Batch
from ccompress.networks.base import Network
from ccompress.networks.folding import first_weights, fold, narrow
from ccompress.numerics import rounding

FLOAT32 = "float32"
# Bits of a number in a matrix.
BITS = {"int8": 8, "int4": 4}

_STEP = ".step"


def _floats(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each tensor of the rest that is rounded."""
    for name, tensor in network.state_dict().items():
        if not name.startswith("embedding.") and tensor.is_floating_point() and tensor.dim():
            yield name, tensor


@torch.no_grad()
def shipped(network: Network, precision: str) -> Network:
    """The network as it is shipped: folded, the rest rounded. It shares the embedding's tensors.

    Shipped again, it stays as it is, to the last bit.
    """
    folded = fold(network)
    if precision == FLOAT32:
        return folded
    if folded is network:
        folded = copy.deepcopy(network, {id(network.embedding): network.embedding})
    for _, tensor in _floats(folded):
        tensor.copy_(rounding.rounded(tensor, BITS[precision]))
    return folded


def packed(network: Network, precision: str) -> dict[str, Tensor]:
    """The tensors of the rest as they are stored; the network is `shipped`."""
    rest = {k: v for k, v in network.state_dict().items() if not k.startswith("embedding.")}
    if precision == FLOAT32:
        return rest
    bits = BITS[precision]
    for name, tensor in _floats(network):
        if tensor.dim() < 2:
            rest[name] = rounding.halves(tensor)
            continue
        rest[name], rest[name + _STEP] = rounding.packed(rounding.round_rows(tensor, bits))
    return rest


def stored_bytes(network: Network, precision: str) -> int:
    """The bytes of the rest as it is stored; the network is `shipped`."""
    return sum(tensor.nbytes for tensor in packed(network, precision).values())


def most_bytes(network: Network, precision: str) -> int:
    """The most bytes that the rest takes as it is stored, whatever its weights become.

    Rounded weights are stored in a Huffman code, so training changes their bytes.
    """
    sizes = {name: tensor.nbytes for name, tensor in packed(network, precision).items()}
    if precision != FLOAT32:
        for name, tensor in _floats(network):
            if tensor.dim() > 1:
                sizes[name] = rounding.most_bytes(tensor.numel(), BITS[precision])
    return sum(sizes.values())


def unpacked(network: Network, tensors: Mapping[str, Tensor], precision: str) -> dict[str, Tensor]:
    """The inverse of `packed`, for a network of the same shapes; other tensors stay as they are.

    Raises:
        ValueError: The tensors do not have the network's shapes.
        KeyError: One is missing.
    """
    whole = dict(tensors)
    if precision == FLOAT32:
        return whole
    for name, tensor in _floats(network):
        if tensor.dim() < 2:
            whole[name] = rounding.whole(whole[name])
            continue
        steps = whole.pop(name + _STEP)
        whole[name] = rounding.unpacked(whole[name], steps, tensor.shape)
    return whole


class ThroughRounding:
    """A network that is read as it is shipped while it trains; gradients pass the rounding.

    Each call folds the network as it stands and rounds the rest. The embedding is read as it reads
    itself in training.

    Args:
        network: Its parameters are those that train.
        precision: `int8` or `int4`.
    """

    def __init__(self, network: Network, precision: str) -> None:
        self._network, self._bits = network, BITS[precision]
        self._first: set[str] = set()
        embedding = network.embedding
        layer = network.first_layer()
        if layer is not None and hasattr(embedding, "read_factors"):
            prefix = next(name for name, module in network.named_modules() if module is layer)
            self._first = {f"{prefix}.{name}" for name in first_weights(layer)}
            embedding = _Rows(embedding)
        # Its own weights are never read: each call brings others.
        self._skeleton = copy.deepcopy(network, {id(network.embedding): embedding})
        if self._first:
            narrow(self._skeleton, self._factor().shape[0])

    def _factor(self) -> Tensor:
        """The second factor as training reads it (k, width)."""
        nothing = torch.empty(0, dtype=torch.long, device=next(self._network.parameters()).device)
        _, factor = cast(_Rows, self._skeleton.embedding).factors(nothing)
        return factor

    def __call__(self, batch: Batch) -> Tensor:
        """Scores before the softmax (sentences, classes)."""
        factor = self._factor() if self._first else None
        rest: dict[str, Tensor] = {}
        for name, weight in self._network.named_parameters():
            if not name.startswith("embedding."):
                reads = factor is not None and name in self._first
                product = weight @ factor.T if reads and factor is not None else weight
                rest[name] = rounding.through_rounding(product, self._bits)
        self._skeleton.train(self._network.training)
        scores: Tensor = functional_call(self._skeleton, rest, (batch,))
        return scores


class _Rows(nn.Module):
    """The rows of A of a factorised embedding; its tensors stay the embedding's."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.read_both = embedding

    def factors(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        rows, factor = self.read_both.read_factors(indices)  # type: ignore[operator]
        return rows, factor

    def forward(self, indices: Tensor) -> Tensor:
        return self.factors(indices)[0]
