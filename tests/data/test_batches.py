import warnings

import pytest
import torch
from builders import encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from ccompress.data.batches import evaluation_batches, training_batches

SENTENCES = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), min_size=1, max_size=60)


def unpacked(batch):
    """The sentences of a batch, as rows of the table, by their index in the split."""
    rows = batch.words[batch.positions]
    return {
        int(index): rows[start : start + length].tolist()
        for index, start, length in zip(batch.sentences, batch.offsets, batch.lengths, strict=True)
    }


@settings(max_examples=60, deadline=None)
@given(sentences=SENTENCES, size=st.integers(1, 7))
def test_an_epoch_holds_every_sentence_once_and_unchanged(device, sentences, size):
    split = encoded(sentences, list(range(len(sentences)))).to(device)
    batches = list(training_batches(split, size, torch.Generator().manual_seed(0)))
    assert len(batches) == -(-len(sentences) // size)
    assert sum(len(batch.labels) for batch in batches) == len(sentences)
    read = {}
    for batch in batches:
        assert batch.labels.tolist() == batch.sentences.tolist()
        assert batch.words.tolist() == sorted(set(batch.words.tolist()))
        assert sorted(set(batch.positions.tolist())) == list(range(len(batch.words)))
        assert batch.longest == int(batch.lengths.max())
        read |= unpacked(batch)
    assert read == dict(enumerate(sentences))


def test_sentences_of_a_batch_are_neighbours_in_length(device):
    sentences = [[2] * (1 + i % 10) for i in range(200)]
    split = encoded(sentences).to(device)
    batches = training_batches(split, 20, torch.Generator().manual_seed(0))
    assert {tuple(set(batch.lengths.tolist())) for batch in batches} == {(n,) for n in range(1, 11)}


def test_the_generator_determines_the_order(device):
    split = encoded([[2 + i] for i in range(100)]).to(device)

    def order(seed):
        generator = torch.Generator().manual_seed(seed)
        return [b.sentences.tolist() for b in training_batches(split, 10, generator)]

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize("tokens", [1, 5, 1 << 17])
def test_batches_of_several_blocks_are_read_in_order(monkeypatch, tokens, device):
    monkeypatch.setattr("ccompress.data.batches._BLOCK_TOKENS", tokens)
    split = encoded([[2 + i % 7, 3] for i in range(500)]).to(device)
    read = {}
    for batch in evaluation_batches(split, 3):
        read |= unpacked(batch)
    assert read == {i: [2 + i % 7, 3] for i in range(500)}


def test_the_host_waits_for_a_gpu_a_few_times_per_block(device):
    if device.type == "cpu":
        pytest.skip("counts how often the host waits for a GPU")
    split = encoded([[2 + i % 7, 3] * (1 + i % 5) for i in range(320)]).to(device)

    def waits():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                batches = list(training_batches(split, 5, torch.Generator().manual_seed(0)))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert len(batches) == 64
        return len(warned)

    waits()  # the first call also initialises the GPU
    assert waits() <= 4 * 8  # there are four blocks; one wait per batch would be 64
