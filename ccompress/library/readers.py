"""Modules that read a compressed table in place of those that read the old one.

Several modules of a network may read one table: the embeddings of an encoder and of a decoder, and
the layer of scores at the end (tied weights). One of them owns the compressed table. The others
hold it in a tuple, so that the network lists its tensors only once.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.base import CompressedEmbedding
from ccompress.embeddings.factorised import FactorisedEmbedding, without_autocast


class Reader(nn.Module):
    """A module that reads a compressed table.

    Args:
        table: The compressed table.
        owns: Whether the table's tensors belong to this module.
    """

    def __init__(self, table: CompressedEmbedding, owns: bool) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        if owns:
            self.embedding = table
        else:
            self._shared = (table,)
            self.register_buffer("weight", no_weight(table), persistent=False)

    @property
    def table(self) -> CompressedEmbedding:
        """The compressed table."""
        if "embedding" in self._modules:
            return self.embedding
        [table] = self._shared
        return table

    def take(self, table: CompressedEmbedding) -> None:
        """Read another table from now on."""
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        if "embedding" in self._modules:
            self.embedding = table
        else:
            self._shared = (table,)
            self.weight = no_weight(table)

    def extra_repr(self) -> str:
        """The class of the table for `print`, if another module owns the table."""
        return "" if "embedding" in self._modules else f"shared {type(self.table).__name__}"


class EmbeddingReader(Reader):
    """Replaces a `torch.nn.Embedding` that shares its table or scales its vectors or gradients.

    Args:
        table: The compressed table.
        owns: Whether the table's tensors belong to this module.
        scale: The factor of all vectors, as in the ScaledWordEmbedding classes of transformers.
        scale_grad_by_freq: See `torch.nn.Embedding`.
    """

    def __init__(
        self,
        table: CompressedEmbedding,
        owns: bool,
        scale: float = 1.0,
        scale_grad_by_freq: bool = False,
    ) -> None:
        super().__init__(table, owns)
        self.padding_idx = table.padding_idx
        self.scale = scale
        self.scale_grad_by_freq = scale_grad_by_freq

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""
        vectors: Tensor = self.table(indices)
        if self.scale_grad_by_freq:
            vectors = _gradient_by_frequency(vectors, indices)
        return vectors if self.scale == 1 else vectors * self.scale


class BagReader(Reader):
    """Replaces a `torch.nn.EmbeddingBag` and keeps all of its options.

    Args:
        table: The compressed table.
        owns: Whether the table's tensors belong to this module.
        bag: The old module, whose options are copied.
    """

    def __init__(self, table: CompressedEmbedding, owns: bool, bag: nn.EmbeddingBag) -> None:
        super().__init__(table, owns)
        self.mode = bag.mode
        self.padding_idx = bag.padding_idx
        self.include_last_offset = bag.include_last_offset
        self.scale_grad_by_freq = bag.scale_grad_by_freq

    def forward(
        self,
        input: Tensor,  # noqa: A002 - the name in EmbeddingBag
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """The bags' vectors (bags, d); see `torch.nn.EmbeddingBag` for the arguments."""
        table, factor = self.table, None
        linear = self.mode != "max" and not self.scale_grad_by_freq
        if linear and isinstance(table, FactorisedEmbedding):
            vectors, factor = table.read_factors(input)  # one product with B after the sums
        else:
            vectors = table(input)
        if self.scale_grad_by_freq:
            vectors = _gradient_by_frequency(vectors, input)
        # torch's own function sums them: token i reads row i, and padding reads an added last row.
        rows = vectors.flatten(0, -2)
        places = torch.arange(input.numel(), device=input.device).view_as(input)
        if self.padding_idx is not None:
            places = places.masked_fill(input == self.padding_idx, input.numel())
        bags = F.embedding_bag(
            places,
            F.pad(rows, (0, 0, 0, 1)),
            None if offsets is None else offsets.long(),
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=None if self.padding_idx is None else input.numel(),
        )
        if factor is None:
            return bags
        with without_autocast(bags.device):
            return bags @ factor


class ScoresReader(Reader):
    """Replaces a `torch.nn.Linear` whose weight is the table; it gives a score for each row.

    Args:
        table: The compressed table.
        bias: The bias (V,), or None.
    """

    def __init__(self, table: CompressedEmbedding, bias: nn.Parameter | None) -> None:
        super().__init__(table, owns=False)
        self.bias: nn.Parameter | None
        self.in_features, self.out_features = table.embedding_dim, table.num_embeddings
        self.register_parameter("bias", bias)

    def take(self, table: CompressedEmbedding) -> None:
        """See `Reader`; the scores of new rows have a bias of 0."""
        super().take(table)
        self.out_features = table.num_embeddings
        if self.bias is not None:  # in place, because another module may share the bias
            self.bias.data = F.pad(self.bias.data, (0, self.out_features - len(self.bias)))

    def forward(self, states: Tensor) -> Tensor:
        """The scores (..., V) of states (..., d)."""
        scores = self.table.scores(states)
        return scores if self.bias is None else scores + self.bias.to(scores.dtype)


def table_of(module: nn.Module) -> CompressedEmbedding | None:
    """The compressed table that a module is, or reads; None if there is none."""
    if isinstance(module, Reader):
        return module.table
    return module if isinstance(module, CompressedEmbedding) else None


def compressed_places(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The path and the module of each place in a network that owns a compressed table."""
    inside: tuple[str, ...] = ()
    for path, child in module.named_modules():
        owner = isinstance(child, CompressedEmbedding) or "embedding" in child._modules
        if table_of(child) is not None and owner and not path.startswith(inside):
            inside += (f"{path}." if path else "",)  # its parts may be compressed tables themselves
            yield path, child


def no_weight(table: CompressedEmbedding) -> Tensor:
    """A tensor of shape (V, 0) with the dtype and device of a table's numbers.

    It replaces the weight. Code that reads the number of rows, the dtype or the device of the
    weight still works, and code that multiplies by the weight fails.
    """
    tensors: list[Tensor] = [*table.parameters(), *table.buffers()]
    numbers = next(tensor for tensor in tensors if tensor.is_floating_point())
    return numbers.detach().new_empty(table.num_embeddings, 0)


def _gradient_by_frequency(vectors: Tensor, indices: Tensor) -> Tensor:
    """The same vectors, with each gradient divided by the frequency of its index."""
    _, place, counts = torch.unique(indices, return_inverse=True, return_counts=True)
    share = counts.to(vectors.dtype).reciprocal()[place].unsqueeze(-1)
    values = vectors.detach()
    scaled: Tensor = values + (vectors - values) * share
    return scaled
