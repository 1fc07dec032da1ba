import pytest
import torch
from builders import CPU, NETWORKS, encoded, network, random_split
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ccompress.data.batches import evaluation_batches
from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.networks.dan import DAN
from ccompress.networks.folding import fold
from ccompress.training.evaluation import predict

ROWS, DIM, RANK = 60, 12, 5
SPLIT = random_split(200, ROWS, 0, longest=20)


def factorised(name, dtype=torch.float32, device=CPU):
    torch.manual_seed(0)
    table = torch.randn(ROWS, DIM, dtype=dtype)
    net = network(name, table, classes=3, hidden=9).to(dtype)
    net.embedding = LowRankEmbedding.from_table(table, RANK, padding_idx=0, sparse=True)
    return net.to(device)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_gives_the_same_scores_without_the_second_factor(name, device):
    net, split = factorised(name, device=device), SPLIT.to(device)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded = fold(net)
    assert torch.allclose(predict(folded, split), predict(net, split), atol=1e-6)
    assert folded.width == RANK
    assert sum(t.shape[-1] == DIM for t in folded.state_dict().values() if t.dim() == 2) == 0
    assert folded.embedding.weight.data_ptr() == net.embedding.A.data_ptr()  # no second table
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    with torch.no_grad():  # nothing else is shared
        for parameter in list(folded.parameters())[1:]:
            parameter.zero_()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_is_exact_to_the_precision_of_the_network(name, device):
    net, split = factorised(name, torch.float64, device), SPLIT.to(device)
    assert (predict(fold(net), split) - predict(net, split)).abs().max() < 1e-13


@pytest.mark.parametrize("name", NETWORKS)
def test_factors_of_one_byte_stay_bytes_when_folded(name, device):
    net, split = factorised(name, device=device), SPLIT.to(device)
    net.embedding = QuantizedLowRankEmbedding.from_factors(net.embedding)
    folded = fold(net)
    assert torch.allclose(predict(folded, split), predict(net, split), atol=1e-6)
    assert folded.width == RANK
    assert folded.embedding is net.embedding.A


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("freeze", [set(), {"A"}, {"layer"}, {"A", "B", "layer"}], ids=sorted)
def test_what_is_frozen_stays_frozen_when_folded(name, freeze):
    net = factorised(name).eval()
    net.embedding.A.requires_grad_("A" not in freeze)
    net.embedding.B.requires_grad_("B" not in freeze)
    net.first_layer().requires_grad_("layer" not in freeze)
    folded = fold(net)
    assert folded.embedding.weight.requires_grad == ("A" not in freeze)
    assert not folded.embedding.training
    assert folded.embedding.sparse
    assert {p.requires_grad for p in folded.first_layer().parameters()} == {"layer" not in freeze}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_factor_is_folded_into_every_recurrent_layer_of_torch(
    monkeypatch, kind, bidirectional, device
):
    class Recurrent(DAN):
        def __init__(self, embedding, width, classes):
            super().__init__(embedding, width, classes)
            self.layer = kind(width, 4, num_layers=2, bidirectional=bidirectional)

        def first_layer(self):
            return self.layer

        def forward(self, batch):
            return self.layer(self.embedding(batch.words))[0]

    torch.manual_seed(0)
    net = Recurrent(LowRankEmbedding(ROWS, DIM, RANK), DIM, 3).to(device)
    batch = next(evaluation_batches(SPLIT.to(device)))
    flatten, flattened = kind.flatten_parameters, []

    def watched(layer):
        flattened.append(layer.weight_ih_l0.shape[1])
        flatten(layer)

    monkeypatch.setattr(kind, "flatten_parameters", watched)
    folded = fold(net)
    assert flattened[-1] == RANK  # flattened after the factor was folded in
    assert torch.allclose(folded(batch), net(batch), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_without_factors_are_not_folded(name):
    net = network(name, torch.randn(ROWS, DIM))
    assert fold(net) is net
    for embedding in (
        QuantizedEmbedding.from_table(torch.randn(ROWS, DIM), 4),
        CodebookEmbedding.from_table(torch.randn(ROWS, DIM), 4),
        ProductQuantizedEmbedding(ROWS, DIM, 4),
    ):
        net.embedding = embedding
        assert fold(net) is net


def test_a_network_that_names_no_first_layer_is_not_folded():
    class Squared(DAN):
        def first_layer(self):
            return None

    net = Squared(LowRankEmbedding(ROWS, DIM, RANK), DIM, 3)
    assert fold(net) is net


def test_a_layer_that_cannot_be_folded_into_is_named():
    class Wrong(DAN):
        def first_layer(self):
            return nn.ReLU()

    with pytest.raises(TypeError, match="ReLU"):
        fold(Wrong(LowRankEmbedding(ROWS, DIM, RANK), DIM, 3))


def test_the_formula_of_flops_agrees_with_the_folded_network():
    net = factorised("dan").eval()
    folded = fold(net)
    sentence = next(evaluation_batches(encoded([[3, 4, 5, 4]])))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        folded(sentence)
    assert counter.get_total_flops() == net.flops(4, RANK)
