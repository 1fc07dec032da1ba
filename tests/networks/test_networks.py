import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from builders import CPU, NETWORKS, encoded, network, random_split, trained_embedding
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ccompress.data.batches import evaluation_batches
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.networks.lstm import flat
from ccompress.training.evaluation import predict

ROWS, DIM = 40, 7


@pytest.fixture(params=NETWORKS)
def net(request, device):
    torch.manual_seed(0)
    new_network = network(request.param, torch.randn(ROWS, DIM), classes=3, hidden=5)
    return new_network.double().to(device)


def single(net, sentence):
    """The scores of one sentence alone, computed from the parameters."""
    vectors = net.embedding.weight[torch.tensor(sentence, device=net.embedding.weight.device)]
    if isinstance(net, NETWORKS["dan"]):
        hidden = vectors.mean(0)
        for layer in net.hidden:
            hidden = (layer.weight @ hidden + layer.bias).relu()
    else:
        states, _ = net.lstm(vectors.unsqueeze(1))
        hidden = states[:, 0].mean(0)
    return net.output(hidden)


def test_the_scores_of_a_sentence_do_not_depend_on_its_batch(net, device):
    split = random_split(300, ROWS, 0, longest=20).to(device)
    scores = predict(net, split)
    begin = 0
    for i, length in enumerate(split.lengths.tolist()):
        alone = single(net, split.tokens[begin : begin + length].tolist())
        assert torch.allclose(scores[i].double(), alone, atol=1e-6)
        begin += length


def test_dropout_is_off_in_evaluation_and_on_in_training(net, device):
    batch = next(evaluation_batches(random_split(50, ROWS, 0).to(device)))
    net.eval()
    assert torch.equal(net(batch), net(batch))
    net.train()
    assert not torch.equal(net(batch), net(batch))


def test_word_dropout_averages_the_words_that_are_left(device):
    torch.manual_seed(0)
    net = network("dan", torch.ones(ROWS, DIM), hidden=5, word_dropout=0.5).to(device)
    split = encoded([[2, 3, 4, 5, 6, 7, 8, 9], [2]] * 200).to(device)
    batch = next(evaluation_batches(split))
    mean = net.train().average(net.embedding(batch.words), batch)
    # All vectors are ones, so the mean of the remaining words is one. A single word is dropped in
    # half of the cases.
    values = mean[:, 0].detach()
    assert set(values.round(decimals=5).tolist()) == {0.0, 1.0}
    assert 0.3 < (values[batch.lengths == 1] == 0).float().mean() < 0.7
    assert (values[batch.lengths == 8] == 0).float().mean() < 0.05


def test_gradients_name_each_word_of_a_batch_once(net, device):
    batch = next(evaluation_batches(encoded([[5, 5, 9], [9, 3]]).to(device)))
    net(batch).sum().backward()
    gradient = net.embedding.weight.grad
    assert gradient.is_sparse
    assert gradient._indices()[0].tolist() == [3, 5, 9]


def test_factors_are_trained_as_two_layers_are(net, device):
    """The scores and gradients equal those of the product A B, which the network never computes."""
    batch = next(evaluation_batches(random_split(50, ROWS, 0, longest=9).to(device)))
    for module in net.modules():  # dropout off; cuDNN gives no gradients in evaluation
        if hasattr(module, "dropout"):
            module.dropout = 0.0
        if hasattr(module, "word_dropout"):
            module.word_dropout = 0.0
    net.embedding = LowRankEmbedding.from_table(net.embedding.weight.detach(), 4, sparse=True)
    A, B = (factor.detach().clone().requires_grad_() for factor in net.embedding.parameters())
    scores = net(batch)
    scores.logsumexp(1).sum().backward()
    gradients_of_factors = [parameter.grad for parameter in net.parameters()]

    dense = copy.deepcopy(net)
    dense.zero_grad()
    del dense.embedding
    dense.embedding = lambda words: (A @ B)[words]
    assert torch.allclose(dense(batch), scores, atol=1e-12)
    dense(batch).logsumexp(1).sum().backward()
    others = [parameter.grad for parameter in dense.parameters()]
    for gradient, expected in zip(gradients_of_factors, [A.grad, B.grad, *others], strict=True):
        assert torch.allclose(gradient.to_dense(), expected, atol=1e-12)


def gradients(name, kind, device):
    """The gradients of all parameters, with the sizes of the experiments, moved to the CPU."""
    options = {"dan": {"word_dropout": 0.0}, "lstm": {"dropout": 0.0}}[name]
    torch.manual_seed(0)
    net = network(name, torch.randn(500, 300), classes=6, **options)
    net.embedding = trained_embedding(kind, net.embedding.weight.detach())
    net.to(device)
    batch = next(evaluation_batches(random_split(64, 500, 0, longest=30).to(device)))
    F.cross_entropy(net(batch), batch.labels).backward()
    return [parameter.grad.cpu().to_dense() for parameter in net.parameters()]


# Mixed factors are left out, since a number between two levels may be rounded to either.
@pytest.mark.parametrize("kind", ["table", "factors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_those_of_the_cpu_without_warnings_of_cudnn(name, kind, device):
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # cuDNN warns of weights in separate pieces of memory
            read = gradients(name, kind, device)
    finally:
        torch.set_warn_always(False)
    for gradient, expected in zip(read, gradients(name, kind, CPU), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def test_flat_weights_share_one_piece_of_memory_and_pass_gradients_on():
    weights = [torch.randn(shape, requires_grad=True) for shape in ((8, 3), (8, 2), 8, 8)]
    laid = flat([weight * 1 for weight in weights])
    begin = laid[0].data_ptr()
    for weight, part in zip(weights, laid, strict=True):
        assert torch.equal(part, weight)
        assert part.is_contiguous()
        assert part.data_ptr() == begin
        begin += part.nbytes
    assert laid[0].untyped_storage().nbytes() == sum(part.nbytes for part in laid)
    sum((i + 1) * part.sum() for i, part in enumerate(laid)).backward()
    assert [weight.grad.unique().tolist() for weight in weights] == [[1], [2], [3], [4]]


def test_flops_are_those_of_the_matrix_products():
    tokens, width, classes = 11, 7, 3
    dan = network("dan", torch.randn(ROWS, width), classes=classes, hidden=5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        dan.eval().classify(torch.randn(1, width))
    assert dan.flops(tokens, width) == counter.get_total_flops()

    lstm = network("lstm", torch.randn(ROWS, width), classes=classes, hidden=5)
    cell = nn.LSTMCell(width, 5)
    state = (torch.zeros(1, 5), torch.zeros(1, 5))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for _ in range(tokens):  # an unrolled cell, because the counter does not see nn.LSTM
            state = cell(torch.randn(1, width), state)
        lstm.output(state[0])
    assert lstm.flops(tokens, width) == counter.get_total_flops()


def test_padded_sentences_have_the_same_scores(net, device):
    net.eval()
    batch = next(evaluation_batches(random_split(50, ROWS, 0, longest=9).to(device)))
    tokens = batch.words[batch.positions].split(batch.lengths.tolist())
    padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=1)
    inside = torch.arange(padded.shape[1], device=device) < batch.lengths.unsqueeze(1)
    scores = net.read_padded(net.embedding(padded), inside)
    assert torch.allclose(scores, net(batch), atol=1e-12)
