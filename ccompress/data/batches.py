"""Sentences as flat tensors, and batches of sentences of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

# `ccompress data` imports every module of this folder and should not wait two seconds for torch.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Batches made at a time. One sort finds the distinct words of all of them, and the host waits for
# the device once per block, not once per step. Long texts get fewer, because all tokens of a block
# are in memory several times.
_BLOCK_BATCHES = 16
_BLOCK_TOKENS = 1 << 17


class Batch(NamedTuple):
    """Some sentences, as the networks read them.

    Attributes:
        words: Distinct words' rows of the table, ascending (n,).
        positions: For each token, the index of its word in `words` (tokens,), by sentence.
        offsets: Where each sentence begins in `positions` (sentences,).
        lengths: Tokens of each sentence (sentences,), at least 1.
        longest: The largest of `lengths`.
        labels: Class of each sentence (sentences,).
        sentences: Index of each sentence in its split (sentences,).
    """

    words: Tensor
    positions: Tensor
    offsets: Tensor
    lengths: Tensor
    longest: int
    labels: Tensor
    sentences: Tensor


@dataclass(frozen=True)
class Encoded:
    """A split as integers, on one device.

    Attributes:
        tokens: Rows of the table, sentence after sentence (tokens,), int32 or int64.
        lengths: Tokens of each sentence (sentences,), int64, at least 1.
        labels: Class of each sentence (sentences,), int64.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of sentences."""
        return len(self.lengths)

    def to(self, device: torch.device) -> Encoded:
        """The same split on `device`."""
        return Encoded(self.tokens.to(device), self.lengths.to(device), self.labels.to(device))


def training_batches(
    split: Encoded, batch_size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """One epoch of `split`: each sentence once, in batches of similar length, in random order.

    Sentences are shuffled, sorted by length (stably, so that equal lengths stay shuffled) and cut
    into batches; then the batches are shuffled. `generator` lives on the CPU, so the order is the
    same on every device.
    """
    import torch

    shuffled = torch.randperm(len(split), generator=generator)
    lengths = split.lengths.cpu()
    order = shuffled[torch.argsort(lengths[shuffled], stable=True)]
    batches = torch.split(order, batch_size)
    turn = torch.randperm(len(batches), generator=generator)
    return _batches(split, [batches[i] for i in turn.tolist()], lengths)


def evaluation_batches(split: Encoded, batch_size: int = 256) -> Iterator[Batch]:
    """Each sentence of `split` once, from the shortest to the longest."""
    import torch

    lengths = split.lengths.cpu()
    order = torch.argsort(lengths, stable=True)
    return _batches(split, list(torch.split(order, batch_size)), lengths)


def _blocks(groups: list[Tensor], lengths: Tensor) -> Iterator[list[Tensor]]:
    """`groups` in order, a few at a time; `lengths` (sentences,) are on the CPU."""
    block: list[Tensor] = []
    tokens = 0
    for group in groups:
        more = int(lengths[group].sum())
        if block and (len(block) == _BLOCK_BATCHES or tokens + more > _BLOCK_TOKENS):
            yield block
            block, tokens = [], 0
        block.append(group)
        tokens += more
    yield block


def _batches(split: Encoded, groups: list[Tensor], cpu_lengths: Tensor) -> Iterator[Batch]:
    """The batches of the sentences that `groups` name, made block by block."""
    import torch

    device = split.tokens.device
    starts = cpu_lengths.cumsum(0) - cpu_lengths
    rows = int(split.tokens.max()) + 1
    for block in _blocks(groups, cpu_lengths):
        sizes = [len(group) for group in block]
        # Everything that follows from the lengths is computed on the host: a GPU that is asked for
        # a total must first finish all its queued work.
        chosen = torch.cat(block)
        chosen_lengths = cpu_lengths[chosen]
        each = torch.split(chosen_lengths, sizes)
        tokens_each = [int(part.sum()) for part in each]
        total = sum(tokens_each)
        from_batch = torch.cat([part.cumsum(0) - part for part in each])
        from_block = chosen_lengths.cumsum(0) - chosen_lengths
        sentences, lengths, offsets, shift = torch.stack(
            [chosen, chosen_lengths, from_batch, starts[chosen] - from_block]
        ).to(device)
        number = torch.arange(len(block), device=device)
        batch_of_token = number.repeat_interleave(
            torch.tensor(tokens_each, device=device), output_size=total
        )

        places = torch.arange(total, device=device)
        places += shift.repeat_interleave(lengths, output_size=total)
        tokens = split.tokens[places]

        # Each (batch, word) pair as one number: sorting finds the distinct words of all batches.
        pairs, positions = torch.unique(tokens + batch_of_token * rows, return_inverse=True)
        first_word = torch.searchsorted(pairs, number * rows)
        positions -= first_word[batch_of_token]
        words_each = [b - a for a, b in pairwise([*first_word.tolist(), len(pairs)])]
        yield from map(
            Batch,
            torch.split(pairs % rows, words_each),
            torch.split(positions, tokens_each),
            torch.split(offsets, sizes),
            torch.split(lengths, sizes),
            [int(part.max()) for part in each],
            torch.split(split.labels[sentences], sizes),
            torch.split(sentences, sizes),
        )
