"""The two networks of the paper: a deep averaging network and an LSTM.

Both read a `Batch`: the distinct words of some sentences, and for every token which of these words
it is. So the table is read once a word, its gradient names each row once, and whatever stands
between the table and the network (unpacking) is done once a word as well. A second factor B is not
multiplied by every word, but where it costs least: the DAN multiplies it by its means, the LSTM
into its weights, (x A) B W^T = (x A) (W B^T)^T, so that in training, too, it reads k columns.

The embedding is any module that turns word ids (n,) into vectors (n, width).
"""

from abc import ABC, abstractmethod

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
        multiplied into this layer (`ccompress.networks.folding`); None, as here, keeps it apart.
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


def check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"network.{name}={size}: it is at least 1")


def check_probabilities(**probabilities: float) -> None:
    """Refuse probabilities that are none, or that leave nothing."""
    for name, probability in probabilities.items():
        if not 0 <= probability < 1:
            raise InputError(f"network.{name}={probability}: it is at least 0 and below 1")


def tensor_bytes(module: nn.Module) -> int:
    """Bytes of all tensors that are stored with a module."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())
