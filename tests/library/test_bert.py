"""The README's example of a network from another library: a BERT with random weights."""

import pytest
import torch

import ccompress

transformers = pytest.importorskip("transformers")

NAME = "bert.embeddings.word_embeddings"
ROWS, DIM = 2000, 64


@pytest.fixture
def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=ROWS,
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
    )
    return transformers.BertForSequenceClassification(config)


def sentences(number=64):
    """Sentences whose label is whether their first word is in the first half of the vocabulary."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, ROWS, (number, 12), generator=draw)
    return tokens, (tokens[:, 0] < ROWS // 2).long()


def train(bert, optimizer, steps, scheduler=None):
    """Train on the sentences; the loss of each step."""
    tokens, labels = sentences()
    losses = []
    for _ in range(steps):
        loss = bert(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses


def test_the_table_of_a_bert_is_compressed_by_ninety_percent_and_trained_further(bert):
    optimizer = torch.optim.AdamW(bert.parameters(), lr=1e-3)
    train(bert, optimizer, 5)
    others = {n: p.detach().clone() for n, p in bert.named_parameters() if NAME not in n}
    before = bert.get_input_embeddings().weight.detach().clone()

    report = ccompress.compress(bert, rate=0.9, name=NAME)
    ccompress.replace_parameters(optimizer, report)
    scheduler = ccompress.CALR(optimizer, lower=1e-4, upper=2e-3, step_size=5)

    assert report.achieved_reduction >= 0.9
    assert report.rank == 0.1 * ROWS * DIM // (ROWS + DIM)
    assert all(torch.equal(p, others[n]) for n, p in bert.named_parameters() if NAME not in n)
    U, S, V = torch.linalg.svd(before.double(), full_matrices=False)
    best = (U[:, : report.rank] * S[: report.rank]) @ V[: report.rank]
    read = bert.get_input_embeddings()(torch.arange(ROWS))
    assert (read - best)[1:].abs().max() < 1e-5  # row 0 is padding, zeros before and after

    factors = [p.detach().clone() for p in report.parameters.values()]
    losses = train(bert, optimizer, 40, scheduler)
    assert losses[-1] < 0.2 * losses[0]
    assert not any(map(torch.equal, factors, report.parameters.values()))


def test_a_compressed_bert_is_saved_and_loaded_like_any_other(bert, tmp_path):
    ccompress.compress(bert, rate=0.9, name=NAME)
    torch.save(bert.state_dict(), tmp_path / "bert.pt")
    again = transformers.BertForSequenceClassification(bert.config)
    ccompress.compress(again, rate=0.9, name=NAME)
    again.load_state_dict(torch.load(tmp_path / "bert.pt", weights_only=True))
    tokens, _ = sentences()
    with torch.no_grad():
        assert torch.equal(bert.eval()(tokens).logits, again.eval()(tokens).logits)
