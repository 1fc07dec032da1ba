"""Methods and options that help to explain why a method works."""

import numpy as np
import pandas as pd
import pytest
import tiny_data
import torch
from composing import settings
from torch import nn

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.errors import InputError
from ccompress.methods.factored_start import FactoredStart
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.methods.in_training_svd_frozen import InTrainingSVDFrozen
from ccompress.methods.pre_training_svd import PreTrainingSVD
from ccompress.methods.random_columns import RandomColumns
from ccompress.methods.row_quantization import RowQuantization
from ccompress.networks.base import tensor_bytes

V, D = 400, 24


@pytest.fixture
def table():
    generator = torch.Generator().manual_seed(0)
    table = 0.3 * torch.randn(V, D, generator=generator) * torch.logspace(0, -1, D)
    table[0] = 0
    return table


def parameters(embedding):
    return sum(parameter.numel() for parameter in embedding.parameters())


def test_factored_start_trains_the_best_factors_of_the_vectors(table):
    embedding = FactoredStart().prepare(table, 0.8)
    u, s, vt = np.linalg.svd(table.numpy(), full_matrices=False)
    rank = FactoredStart().size(V, D, 0.8).rank
    best = (u[:, :rank] * s[:rank]) @ vt[:rank]
    assert np.abs(embedding(torch.arange(V)).detach().numpy() - best).max() < 1e-5
    assert parameters(embedding) == rank * (V + D) <= 0.2 * V * D
    assert all(parameter.requires_grad for parameter in embedding.parameters())
    assert FactoredStart().reference_epochs(20) == 0


def test_random_factors_have_the_variance_of_the_vectors(table):
    torch.manual_seed(0)
    embedding = FactoredStart(start="random").prepare(table, 0.8)
    products = embedding(torch.arange(1, V))
    assert products.std().item() == pytest.approx(table.std().item(), rel=0.15)
    assert not embedding(torch.tensor(0)).any()
    assert embedding.rank == FactoredStart().size(V, D, 0.8).rank


def test_frozen_factors_are_those_of_in_training_svd_and_do_not_train(table):
    frozen = InTrainingSVDFrozen().compress(table, 0.8, torch.ones(V))
    trained = InTrainingSVD().compress(table, 0.8, torch.ones(V))
    assert isinstance(frozen, LowRankEmbedding)
    assert torch.equal(frozen.A, trained.A)
    assert torch.equal(frozen.B, trained.B)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_random_columns_depend_only_on_the_size_of_the_vectors(table):
    torch.manual_seed(0)
    embedding = RandomColumns().prepare(table, 0.75)
    assert isinstance(embedding, nn.Embedding)
    assert embedding.weight.shape == (V, D // 4)
    assert embedding.weight.std().item() == pytest.approx(table.std().item(), rel=0.1)
    assert not embedding.weight[0].any()
    torch.manual_seed(0)
    again = RandomColumns().prepare(table.flip(0).flip(1), 0.75)
    torch.testing.assert_close(again.weight, embedding.weight)


def test_pre_training_svd_at_the_rank_of_the_factors_and_without_singular_values(table):
    u, s, _ = np.linalg.svd(table.numpy(), full_matrices=False)
    rank = InTrainingSVD().size(V, D, 0.8).rank
    embedding = PreTrainingSVD(rank="factors").prepare(table, 0.8).weight.detach().numpy()
    assert embedding.shape == (V, rank)
    assert np.abs(np.abs(embedding) - np.abs(u[:, :rank] * s[:rank])).max() < 1e-5
    plain = PreTrainingSVD(singular_values=False).prepare(table, 0.8).weight.detach().numpy()
    assert plain.shape == (V, 4)
    assert np.abs(np.abs(plain) - np.abs(u[:, :4])).max() < 1e-5
    assert np.linalg.norm(plain, axis=0) == pytest.approx(np.ones(4), abs=1e-5)


def test_directions_without_extent_are_zero_in_a_table_without_singular_values():
    table = torch.outer(torch.arange(10.0), torch.ones(4))  # rank 1
    embedding = PreTrainingSVD(singular_values=False).prepare(table, 0.5).weight
    assert embedding[:, 0].norm().item() == pytest.approx(1)
    assert embedding[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize("rate", [0.75, 0.8, 0.85])
def test_row_quantization_stores_no_more_than_the_rate_leaves(table, rate):
    embedding = RowQuantization().compress(table, rate, torch.ones(V))
    kept = tensor_bytes(embedding)
    assert 0.6 * (1 - rate) * 4 * V * D <= kept <= round((1 - rate) * 4 * V * D)
    assert kept == V * (-(-D * RowQuantization().size(V, D, rate).bits // 8) + 4) + 4


def test_row_quantization_names_the_largest_rate():
    with pytest.raises(InputError, match=r"the largest rate that works is 0\.92697"):
        RowQuantization().size(V, D, 0.99)
    assert RowQuantization().size(V, D, 0.92697).bits == 1


def test_a_schedule_that_restarts_begins_again_at_the_step(ccompress, tmp_path):
    """The cycle of CALR is two epochs, and the step after three of seven epochs is in mid-cycle."""
    tiny = tiny_data.write(tmp_path / "data")
    words = ["method=in_training_svd", "train.epochs=7", "method.compress_at=0.4", "schedule=calr"]
    rates = {}
    for schedule in ("continues", "restarts"):
        done = ccompress(*tiny, *words, f"method.schedule={schedule}", f"runs_dir={schedule}")
        assert done.returncode == 0, done.stderr
        (metrics,) = (tmp_path / schedule).glob("*/metrics.csv")
        rows = pd.read_csv(metrics)
        assert list(rows["stage"]) == ["reference"] * 3 + ["compressed"] * 4
        rates[schedule] = list(rows["lr"])
    assert rates["restarts"][:3] == rates["continues"][:3]
    assert rates["restarts"][3:6] == rates["restarts"][:3]
    assert rates["continues"][3:6] != rates["continues"][:3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: FactoredStart(start="zeros"), "method.start=zeros: it is one of pretrained"),
        (lambda: InTrainingSVD(schedule="stops"), "method.schedule=stops: it is one of continues"),
        (lambda: PreTrainingSVD(rank="full"), "method.rank=full: it is one of projection"),
    ],
)
def test_an_unknown_choice_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_a_later_option_with_its_first_value_does_not_change_the_id():
    """Runs from before the option keep their ids. Another value gives another id."""
    plain = settings("method=pre_training_svd")
    assert "singular_values" not in plain.identity["method"]
    assert settings("method=pre_training_svd", "method.rank=projection").run_id == plain.run_id
    other = {
        settings("method=pre_training_svd", each).run_id
        for each in ("method.rank=factors", "method.singular_values=false")
    }
    assert len(other | {plain.run_id}) == 3
    for name in ("in_training_svd", "in_training_svd_int8", "in_training_svd_mixed"):
        method = f"method={name}"
        assert "schedule" not in settings(method).identity["method"]
        assert settings(method, "method.schedule=restarts").run_id != settings(method).run_id
