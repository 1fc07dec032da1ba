"""What all networks have in common: they read a `Batch` through an embedding.

A batch holds the distinct words of its sentences and, for each token, the index of its word. So the
table is read once per distinct word, its gradient names each row once, and unpacking is done once
per distinct word too. A network multiplies by the second factor B where that costs least: the DAN
after averaging, the LSTM by multiplying B into its weights, (x A) B W^T = (x A) (W B^T)^T. So in
training, too, the first layer reads k columns.

The embedding is any module that turns word ids (n,) into vectors (n, width).
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ccompress.data.batches import Batch
from ccompress.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self


class Network(nn.Module, ABC):
    """A classifier of sentences over an embedding.

    Args:
        embedding: Maps word ids (n,) to vectors (n, width).
        width: Number of columns of these vectors.
        classes: Number of classes.
    """

    embedding: nn.Module
    # Options that came after results were committed: see `Method.later_options`.
    later_options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, embedding: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.width = width
        self.classes = classes

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Scores before the softmax, (sentences, classes)."""

    def read(self, words: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read `words` (n,): their vectors, and the factor that is not yet multiplied in.

        If the embedding has `read_factors`, as `ccompress.LowRankEmbedding` does, these are rows of
        A (n, k) and B (k, width). Otherwise they are vectors (n, width) and None.
        """
        read_factors = getattr(self.embedding, "read_factors", None)
        if read_factors is None:
            return self.embedding(words), None
        rows, factor = read_factors(words)
        return rows, factor

    def over(self, embedding: nn.Module) -> "Self":
        """This network over another embedding of the same width; both share all other layers."""
        same = copy.copy(self)
        same._modules = {**self._modules, "embedding": embedding}
        return same

    @abstractmethod
    def flops(self, tokens: float, width: int) -> float:
        """Floating point operations for a sentence of `tokens` words; a multiply-add counts 2.

        Only matrix products count. Reading an embedding of `width` columns counts nothing. A
        factorised embedding is folded, with B multiplied into the first layer, so its `width` is
        its rank.
        """

    def first_layer(self) -> nn.Module | None:
        """The one layer that reads the embedding: `nn.Linear`, `nn.LSTM`, `nn.GRU` or `nn.RNN`.

        It may read means of vectors, or anything else that is linear in them. A second factor is
        then multiplied into this layer (`ccompress.networks.folding`). None, as here, keeps the
        factor apart.
        """
        return None

    def read_padded(self, words: Tensor, inside: Tensor) -> Tensor:
        """Scores before the softmax, for sentences padded at their end to one length.

        `ccompress export` exports this function, so a network without it cannot be exported. It
        equals `forward` with dropout off.

        Args:
            words: The vector of each position (sentences, longest, width).
            inside: Which positions are words of the sentence (sentences, longest).
        """
        raise NotImplementedError(f"{type(self).__name__} has no read_padded")


def check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"network.{name}={size}: it is at least 1")


def check_probabilities(**probabilities: float) -> None:
    """Refuse values below 0, and those at which nothing would be left."""
    for name, probability in probabilities.items():
        if not 0 <= probability < 1:
            raise InputError(f"network.{name}={probability}: it is at least 0 and below 1")


def tensor_bytes(module: nn.Module) -> int:
    """Bytes of all tensors in a module's state."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())
