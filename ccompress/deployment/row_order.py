"""The words of a model file, and the order of the table's rows in which the words take least space.

A sorted list of words compresses best, so the rows of the table are in the order of their words.
Some embeddings allow this order only within runs of rows, such as the tiers of mixed precision.
Then the file also stores the number of each word's run. For imdb, words and runs take 103 kB; a
separate sorted list for each run would take 121 kB.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ccompress.data.text import word_list
from ccompress.data.text.vocabulary import SPECIAL
from ccompress.embeddings.base import CompressedEmbedding

# No tensor in a network's state has a name that begins with a dot.
WORDS, RUNS = ".words", ".runs"

_MOST_RUNS = np.iinfo(np.uint8).max

Bytes = word_list.Bytes


class Ordered(NamedTuple):
    """The embedding and the words of a model file.

    Attributes:
        state: The state of the embedding, with its rows in the order of the file.
        words: The tensors that hold the words.
    """

    state: dict[str, Tensor]
    words: dict[str, Bytes]


def ordered(embedding: nn.Module, words: list[str]) -> Ordered:
    """Put the rows in the order of their words, as far as the embedding allows.

    Args:
        embedding: The embedding of the network.
        words: The word of each row. `<pad>` and `<unk>` come first and stay there.
    """
    ordinary = words[len(SPECIAL) :]
    runs = _runs(embedding)
    if runs is None or runs[-1] > _MOST_RUNS:
        return Ordered(embedding.state_dict(), {WORDS: word_list.pack(ordinary)})
    run = runs.numpy()[len(SPECIAL) :]
    alphabetical = np.array(sorted(range(len(ordinary)), key=ordinary.__getitem__), np.int64)
    tensors = {WORDS: word_list.pack([ordinary[i] for i in alphabetical])}
    sorted_runs = run[alphabetical]
    if run.any():
        tensors[RUNS] = word_list.compressed(sorted_runs.astype(np.uint8).tobytes())
    rows = alphabetical[np.argsort(sorted_runs, kind="stable")] + len(SPECIAL)
    order = torch.from_numpy(np.concatenate([np.arange(len(SPECIAL)), rows]))
    return Ordered(_permuted(embedding, order), tensors)


def words_of_rows(tensors: Mapping[str, Bytes]) -> list[str]:
    """The word of each row, from the tensors that `ordered` returned.

    Raises:
        ValueError: The tensors do not fit together.
    """
    words = word_list.unpack(tensors[WORDS])
    if RUNS in tensors:
        runs = np.frombuffer(word_list.decompressed(tensors[RUNS]), np.uint8)
        if len(runs) != len(words):
            raise ValueError(f"it has {len(words)} words, and runs for {len(runs)}")
        words = [words[i] for i in np.argsort(runs, kind="stable")]
    return [*SPECIAL, *words]


def _runs(embedding: nn.Module) -> Tensor | None:
    """See `CompressedEmbedding.runs`."""
    if type(embedding) is nn.Embedding:
        return torch.zeros(embedding.num_embeddings, dtype=torch.long)
    return embedding.runs() if isinstance(embedding, CompressedEmbedding) else None


def _permuted(embedding: nn.Module, order: Tensor) -> dict[str, Tensor]:
    """See `CompressedEmbedding.permuted`."""
    if isinstance(embedding, CompressedEmbedding):
        return embedding.permuted(order)
    return {name: table[order.to(table.device)] for name, table in embedding.state_dict().items()}
