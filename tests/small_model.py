"""Small stored models that no run has trained."""

from pathlib import Path

import torch
from torch import nn

from ccompress.deployment import model
from ccompress.deployment.model import Model
from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import QuantizedLowRankEmbedding
from ccompress.methods.in_training_svd_mixed import InTrainingSVDMixed
from ccompress.networks.base import Network

DIM, LABELS = 16, ["bad", "fair", "good"]
OPTIONS = {
    "dan": {"_target_": "ccompress.networks.DAN", "hidden": 6},
    "lstm": {"_target_": "ccompress.networks.LSTM", "hidden": 6},
}


def words(rows: int) -> list[str]:
    """<pad>, <unk>, w2, w3, ..."""
    return ["<pad>", "<unk>", *(f"w{i}" for i in range(2, rows))]


def table(rows: int) -> torch.Tensor:
    """A table of random numbers, with a row of zeros for <pad>."""
    numbers = torch.randn(rows, DIM, generator=torch.Generator().manual_seed(0))
    numbers[0] = 0
    return numbers


def embedding(kind: str, rows: int) -> nn.Module:
    """An embedding like those that the methods make: by its name, or quantized to so many bits."""
    if kind == "whole":
        return nn.Embedding(rows, DIM, padding_idx=0, sparse=True, _weight=table(rows))
    if kind == "narrow":
        return nn.Embedding(rows, 5, padding_idx=0, sparse=True, _weight=table(rows)[:, :5].clone())
    if kind == "factors":
        return LowRankEmbedding.from_table(table(rows), 5, padding_idx=0, sparse=True)
    if kind == "byte factors":
        return QuantizedLowRankEmbedding.from_factors(embedding("factors", rows))
    if kind == "mixed":
        method = InTrainingSVDMixed()
        counts = torch.arange(rows).flip(0)
        return method.finish(method.compress(table(rows), 0.75, counts))
    if kind == "codebook":
        return CodebookEmbedding.from_table(table(rows), 3, padding_idx=0)
    if kind == "product":
        return ProductQuantizedEmbedding.from_table(table(rows), 4, padding_idx=0)
    return QuantizedEmbedding.from_table(table(rows), int(kind), padding_idx=0)


def store(
    folder: Path,
    network: str | dict[str, object] = "dan",
    table: nn.Module | str = "factors",
    rows: int = 40,
) -> tuple[Path, Network]:
    """Write a network of random weights as a run would.

    Returns:
        The file, and the network in evaluation mode.
    """
    described = OPTIONS[network] if isinstance(network, str) else network
    stored_table = embedding(table, rows) if isinstance(table, str) else table
    torch.manual_seed(1)
    net = model.build(model.factory(Network, described), stored_table, len(LABELS))
    path = folder / model.FILE
    model.save(path, Model(net, words(rows), LABELS, "whitespace", {"network": described}))
    return path, net.eval()
