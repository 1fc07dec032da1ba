"""Compressed embeddings that take the place of `torch.nn.Embedding`."""

from torch import Tensor, nn

from ccompress.errors import InputError


def padding_row(padding_idx: int | None, num_embeddings: int) -> int | None:
    """A padding_idx as a row number; like `torch.nn.Embedding`'s it may count from the end.

    Raises:
        InputError: if it is no row.
    """
    if padding_idx is None:
        return None
    if not -num_embeddings <= padding_idx < num_embeddings:
        raise InputError(f"padding_idx={padding_idx} is no row of {num_embeddings}")
    return padding_idx % num_embeddings


def without_padding(vectors: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    """The vectors (..., d) of indices (...), those of padding_idx exact zeros."""
    if padding_idx is None:
        return vectors
    return vectors.masked_fill((indices == padding_idx).unsqueeze(-1), 0)


def printed(embedding: nn.Module, size: str) -> str:
    """What `print` shows of a compressed embedding: sizes, and options not at their defaults."""
    padding_idx = getattr(embedding, "padding_idx", None)
    shown = f"{embedding.num_embeddings}, {embedding.embedding_dim}, {size}"
    shown += "" if padding_idx is None else f", padding_idx={padding_idx}"
    return shown + ", sparse=True" * getattr(embedding, "sparse", False)
