"""The small network as a user would ship it: one file, complete, read without pickle."""

import functools
import json
from typing import Any

import torch
from torch import nn

from ccompress import measure, storage
from ccompress.config import Settings
from ccompress.data.prepare import Prepared
from ccompress.networks import Network

FILE = "model.safetensors"


def build(make: functools.partial[Any], embedding: nn.Module, classes: int) -> Network:
    """The network that reads `embedding`; `make` takes embedding, width and classes."""
    with torch.no_grad():
        width = embedding(torch.zeros(1, dtype=torch.long)).shape[1]
    network = make(embedding, width, classes)
    assert isinstance(network, Network)
    return network


def reference_bytes(make: functools.partial[Any], rows: int, dim: int, classes: int) -> int:
    """Bytes of all tensors of the uncompressed network; nothing is allocated."""
    with torch.device("meta"):
        return measure.tensor_bytes(make(nn.Embedding(rows, dim), dim, classes))


def save(settings: Settings, data: Prepared, network: Network) -> int:
    """Write the run's model.safetensors, its embedding in compressed form; its size in bytes.

    The metadata hold all that is needed to read raw text and to build the network again:
    vocabulary, tokenizer, labels, and the configuration.
    """
    path = settings.folder / FILE
    metadata = {
        "words": json.dumps(data.words, ensure_ascii=False),
        "labels": json.dumps(data.labels, ensure_ascii=False),
        "tokenizer": settings.dataset.tokenizer,
        "dim": str(data.table.shape[1]),
        "config": json.dumps(settings.resolved),
    }
    storage.save(path, network.state_dict(), metadata)
    return path.stat().st_size
