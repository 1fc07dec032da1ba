"""The methods that go beyond the paper: their embeddings, and complete runs."""

import csv

import pytest
import tiny_data
import torch

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.errors import InputError
from ccompress.experiment import results
from ccompress.methods.codebook_quantization import CodebookQuantization
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.methods.in_training_svd_int8 import InTrainingSVDInt8
from ccompress.methods.in_training_svd_mixed import InTrainingSVDMixed
from ccompress.methods.in_training_svd_weighted import InTrainingSVDWeighted
from ccompress.methods.product_quantization import ProductQuantization
from ccompress.methods.quantization import Quantization
from ccompress.networks.base import tensor_bytes
from ccompress.numerics.svd import factorize

ROWS, DIM = 3000, 24
METHODS = [
    CodebookQuantization,
    ProductQuantization,
    InTrainingSVDInt8,
    InTrainingSVDMixed,
    InTrainingSVDWeighted,
]


@pytest.fixture(scope="module")
def table():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(ROWS, DIM, generator=generator) * torch.logspace(0, -1, DIM)
    table[0] = 0
    return table


@pytest.fixture(scope="module")
def counts():
    return (5000 / torch.arange(1, ROWS + 1)).long().where(torch.arange(ROWS) > 1, 0)


@pytest.mark.parametrize("rate", [0.5, 0.75, 0.8, 0.9])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_stored_bytes_never_exceed_the_rate(table, counts, method, rate):
    method = method()
    embedding = method.finish(method.compress(table, rate, counts))
    original = tensor_bytes(torch.nn.Embedding(ROWS, DIM))
    kept = tensor_bytes(embedding)
    assert kept <= round((1 - rate) * original)
    assert not embedding(torch.tensor([0])).any()
    size = method.shipped_size(embedding, method.size(ROWS, DIM, rate))
    assert size.bits == getattr(embedding, "bits", 8 if "Int8" in type(method).__name__ else None)
    assert size.rank == getattr(embedding, "rank", None)
    if size.rank != DIM:  # a full rank may take less than the rate leaves
        assert kept >= (1 - rate) * original * 0.6


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_a_rate_out_of_reach_names_the_largest_that_works(method):
    with pytest.raises(InputError, match="the largest rate that works is") as error:
        method().size(ROWS, DIM, 0.999)
    largest = float(str(error.value).rsplit(" ", 1)[1])
    assert 0.8 < largest < 0.999
    method().size(ROWS, DIM, largest)
    with pytest.raises(InputError):
        method().size(ROWS, DIM, round(largest + 2e-5, 7))


def test_a_codebook_is_nearer_to_the_table_than_even_values_at_the_same_rate(table, counts):
    rows = torch.arange(ROWS)
    for rate in (0.9, 0.95):
        codebook = CodebookQuantization().compress(table, rate, counts)
        even = Quantization().compress(table, rate, counts)
        assert tensor_bytes(codebook) <= tensor_bytes(even) + 4 * 2**3
        assert (codebook(rows) - table).norm() < 0.8 * (even(rows) - table).norm()


def test_factors_train_at_four_times_the_rank_and_are_rounded_at_the_end(table, counts):
    method, plain = InTrainingSVDInt8(), InTrainingSVD()
    trained = method.compress(table, 0.9, counts)
    assert isinstance(trained, LowRankEmbedding)
    assert all(parameter.requires_grad for parameter in trained.parameters())
    assert trained.rank == 9 == InTrainingSVD().size(ROWS, DIM, 0.6).rank
    with torch.no_grad():
        trained.A += 0.01 * torch.randn_like(trained.A)
    finished = method.finish(trained)
    assert isinstance(finished, QuantizedLowRankEmbedding)
    rows = torch.arange(1, ROWS)
    error = (finished(rows) - trained(rows)).norm() / trained(rows).norm()
    assert 0 < error < 0.02
    assert plain.finish(trained) is trained
    assert method.reference_epochs(15) == plain.reference_epochs(15) == 8


def test_an_option_says_which_form_of_byte_factors_chooses_the_best_epoch(table, counts):
    trained = InTrainingSVDInt8().compress(table, 0.9, counts)
    assert InTrainingSVDInt8().evaluated(trained) is trained
    method = InTrainingSVDInt8(best_epoch="shipped")
    rows = torch.arange(ROWS)
    assert torch.equal(method.evaluated(trained)(rows), method.finish(trained)(rows))
    with pytest.raises(InputError, match=r"best_epoch=ship: .* \(did you mean shipped\?\)"):
        InTrainingSVDInt8(best_epoch="ship")


def test_words_are_weighted_by_the_square_root_of_their_count(table, counts):
    weighted = InTrainingSVDWeighted().compress(table, 0.8, counts)
    plain = InTrainingSVD().compress(table, 0.8, counts)
    assert weighted.rank == plain.rank
    A, B = factorize(table, weighted.rank, (counts + 1.0).sqrt())
    torch.testing.assert_close(weighted.A, torch.nn.Parameter(A))
    torch.testing.assert_close(weighted.B, torch.nn.Parameter(B))
    rows = torch.arange(ROWS)
    errors = {
        name: (embedding(rows) - table).square().sum(1)
        for name, embedding in {"weighted": weighted, "plain": plain}.items()
    }
    weights = (counts + 1.0).sqrt()
    assert (weights * errors["weighted"]).sum() < (weights * errors["plain"]).sum()
    assert errors["weighted"].sum() > errors["plain"].sum()
    assert weighted(rows[counts == 0][1:]).abs().sum(1).all()  # unseen words are represented


@pytest.mark.parametrize(
    ("method", "rate", "words", "rest"),
    [
        ("product_quantization", 0.1, 600, "float32"),
        ("in_training_svd_int8", 0.9, 60, "float32"),
        ("in_training_svd_int8", 0.9, 60, "int8"),
        ("in_training_svd_mixed", 0.9, 600, "float32"),
        ("in_training_svd_mixed", 0.9, 600, "int4"),
    ],
)
def test_the_shipped_model_gives_the_predictions_that_were_tested(
    ccompress, tmp_path, method, rate, words, rest
):
    tiny = tiny_data.write(tmp_path / "data", words=words)
    done = ccompress(*tiny, f"method={method}", f"rate={rate}", "network=lstm", f"rest={rest}")
    assert done.returncode == 0, done.stderr
    (row,) = results.collect(tmp_path / "results" / "runs")
    assert row["achieved_reduction"] >= rate
    assert (row["rank"] is not None) == method.startswith("in_training_svd")
    assert (row["bits"] == 8) == (method == "in_training_svd_int8")
    if rest != "float32":
        shipped = row["file_table_bytes"] + row["file_rest_bytes"]
        assert row["model_bytes"] == row["folded_bytes"] == shipped

    with (tmp_path / "data" / "test.csv").open(encoding="utf-8") as file:
        texts = [line["text"] for line in csv.DictReader(file)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    predict = ["predict", row["run_id"], "texts.txt", "--format", "csv", "--device", "cpu"]
    predicted = ccompress(*predict)
    assert predicted.returncode == 0, predicted.stderr
    labels = [line["label"] for line in csv.DictReader(predicted.stdout.splitlines())]
    path = tmp_path / "results" / "runs" / row["run_id"] / "predictions.csv"
    with path.open(encoding="utf-8") as file:
        assert [line["prediction"] for line in csv.DictReader(file)] == labels
