"""What all compressed embeddings have in common: their sizes, their padding, how they print."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.errors import InputError

_BLOCK = 8192  # rows
# What `ccompress.compress` adds to the tensors of a table: see `library.structure.mark`.
MARKS = ("weight", "structure")


class CompressedEmbedding(nn.Module, ABC):
    """An embedding of V rows of d numbers that takes the place of `torch.nn.Embedding`.

    Called with indices of any shape (...), int32 or int64, it gives vectors of shape (..., d). It
    refuses the indices that `torch.nn.Embedding` refuses. The vectors have the dtype of the
    embedding's own tensors, under autocast too.

    The constructor's arguments are kept as attributes of the same names, from which a stored model
    builds the embedding again.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        padding_idx: a row that reads as zeros; it may count from the end.

    Raises:
        InputError: if padding_idx is no row.
    """

    size_name: ClassVar[str]  # the attribute that says how small it is, such as rank
    # Names of the tensors in its state that hold one entry a row. Without them no row is moved.
    row_tensors: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None) -> None:
        super().__init__()
        # operator.index makes plain integers of numpy's, which no model file can store.
        self.num_embeddings = operator.index(num_embeddings)
        self.embedding_dim = operator.index(embedding_dim)
        self.padding_idx = None if padding_idx is None else operator.index(padding_idx)
        if self.padding_idx is not None:
            if not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
                raise InputError(f"padding_idx={padding_idx} is no row of {num_embeddings}")
            self.padding_idx %= self.num_embeddings

    @abstractmethod
    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., d), of indices of shape (...)."""

    def runs(self) -> Tensor | None:
        """The run of each row (V,), never falling, where the rows of one run can change places.

        None where every row has to stay in its place.
        """
        return torch.zeros(self.num_embeddings, dtype=torch.long) if self.row_tensors else None

    def permuted(self, order: Tensor) -> dict[str, Tensor]:
        """The state of an equal embedding whose row i is row order[i] of this one.

        `order` (V,) moves rows within their runs only (`runs`).
        """
        state: dict[str, Tensor] = self.state_dict()
        moved = {name: state[name][order.to(state[name].device)] for name in self.row_tensors}
        return {**state, **moved}

    def shipped(self) -> "CompressedEmbedding":
        """What is shipped when training is over: itself, where nothing is left to round."""
        return self

    def lay_out(self) -> None:
        """Derive what is not stored from the stored tensors, if there is anything."""

    def scores(self, states: Tensor) -> Tensor:
        """The scores (..., V) of states (..., d): their products with all rows of the table."""
        blocks = self.blocks(states.device)
        return torch.cat([F.linear(states, self(rows)) for rows in blocks], -1)

    def blocks(self, device: torch.device) -> tuple[Tensor, ...]:
        """The numbers of all rows, in blocks: no more of a packed table is unpacked at a time."""
        return torch.split(torch.arange(self.num_embeddings, device=device), _BLOCK)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """As every module does. Marks hold no numbers: a state may have them or not."""
        for name in MARKS:
            if name in self._buffers:
                state_dict.setdefault(prefix + name, self._buffers[name])
            else:
                state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        """What `print` shows of the module: sizes, and the padding if there is one."""
        size = f"{self.size_name}={getattr(self, self.size_name)}"
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, {size}{padding}"


def lay_out_again(embedding: CompressedEmbedding, _keys: object) -> None:
    """Call `lay_out` after a state is loaded; a hook, not a lambda, since embeddings are pickled.

    Some load one tensor at a time, from the meta device, and call `lay_out` when they are through.
    """
    if len({tensor.device for tensor in embedding.state_dict().values()}) == 1:
        embedding.lay_out()


def in_range(name: str, value: int, most: int) -> int:
    """The value of a size as a plain integer.

    Raises:
        InputError: if it is not 1 to `most`.
    """
    if not 1 <= value <= most:
        raise InputError(f"{name}={value}: give 1 to {most}")
    return operator.index(value)


def without_padding(vectors: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    """The vectors (..., d) of indices (...), those of padding_idx exact zeros."""
    if padding_idx is None:
        return vectors
    return vectors.masked_fill((indices == padding_idx).unsqueeze(-1), 0)


@contextmanager
def padding_unsought(module: nn.Module) -> Iterator[None]:
    """Let the sparse gradients of the embeddings in `module` name every row that was read.

    Otherwise torch leaves out the row of `padding_idx`. It looks for it at every step, and for that
    a GPU must first finish all its queued work. Indices without padding give equal gradients.
    """
    embeddings: list[Any] = [
        embedding
        for embedding in module.modules()
        if getattr(embedding, "sparse", False) and hasattr(embedding, "padding_idx")
    ]
    rows = [embedding.padding_idx for embedding in embeddings]
    for embedding in embeddings:
        embedding.padding_idx = None
    try:
        yield
    finally:
        for embedding, row in zip(embeddings, rows, strict=True):
            embedding.padding_idx = row
