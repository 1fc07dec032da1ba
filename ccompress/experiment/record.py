"""The records of a run: the columns of its row, and its CSV files."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torch import Tensor

from ccompress import machine
from ccompress.config.settings import PROTOCOL, Settings
from ccompress.data.prepare import Prepared
from ccompress.deployment import model
from ccompress.errors import InputError
from ccompress.experiment import measure, results
from ccompress.networks import rest
from ccompress.networks.base import Network, tensor_bytes
from ccompress.training.trainer import EpochRow


def of_settings(settings: Settings, overrides: str) -> dict[str, Any]:
    """The columns that are known before the run begins."""
    return {
        "run_id": settings.run_id,
        "protocol": PROTOCOL,
        "overrides": overrides,
        **{group: settings.names[group] for group in ("dataset", "network", "method", "schedule")},
        "rate": settings.rate,
        "seed": settings.seed,
        "vocab_policy": settings.vocab.policy,
        "epochs": settings.epochs,
        "threads": settings.threads,
        "versions": machine.versions(),
        "git_commit": measure.git_commit(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def of_data(settings: Settings, data: Prepared) -> dict[str, Any]:
    """The columns that describe the data."""
    rows, dim = data.table.shape
    return {
        "vectors": _vectors_name(settings, dim),
        "vectors_sha256": data.vectors_sha256,
        "dim": dim,
        "vocab_size": rows,
        "vocab_with_vector": data.with_vector,
        "tokens_with_vector": data.tokens_with_vector,
        "classes": len(data.labels),
        **{f"{name}_size": len(split) for name, split in data.splits.items()},
    }


def of_size(
    settings: Settings, data: Prepared, network: Network, shipped: Network
) -> dict[str, Any]:
    """The columns that compare the bytes of the finished and of the uncompressed network.

    Args:
        settings: The settings of the run.
        data: The data of the run.
        network: The finished network with both factors.
        shipped: The network as it is deployed. With a rounded rest, `model_bytes` is its size.
            Otherwise `model_bytes` counts both factors and the first layer, as in Acharya et al.
    """
    rows, dim = data.table.shape
    embedding_bytes_original = 4 * rows * dim
    embedding_bytes = tensor_bytes(network.embedding)
    model_bytes_original = model.reference_bytes(settings.network, rows, dim, len(data.labels))
    folded_bytes = tensor_bytes(shipped.embedding) + rest.stored_bytes(shipped, settings.rest)
    model_bytes = tensor_bytes(network) if settings.rest == rest.FLOAT32 else folded_bytes
    return {
        "embedding_bytes_original": embedding_bytes_original,
        "embedding_bytes": embedding_bytes,
        "achieved_reduction": 1 - embedding_bytes / embedding_bytes_original,
        "model_bytes_original": model_bytes_original,
        "model_bytes": model_bytes,
        "model_reduction": 1 - model_bytes / model_bytes_original,
        "folded_bytes": folded_bytes,
    }


def model_of(settings: Settings, data: Prepared, network: Network) -> model.Model:
    """The finished network of a run with everything that its model file holds."""
    return model.Model(
        network,
        data.words,
        data.labels,
        settings.dataset.tokenizer,
        settings.identity,
        settings.dataset.columns,
    )


def of_file(settings: Settings, small: model.Model) -> dict[str, Any]:
    """The columns with the size of the model file; also write the file if the run must store it.

    They are empty if the run does not store it and its embedding, a user's own class, cannot be
    stored.
    """
    try:
        contents = model.contents(small)
    except InputError:
        if settings.save_model:
            raise
        return {"model_saved": 0}
    if settings.save_model:
        contents.write(settings.folder / model.FILE)
    parts = contents.file_bytes()
    return {
        "file_bytes": sum(parts),
        **{f"file_{name}_bytes": size for name, size in parts._asdict().items()},
        "model_saved": int(settings.save_model),
    }


def _vectors_name(settings: Settings, dim: int) -> str:
    """The name of the vectors in tables: the file's name without its endings, or the kind."""
    for path in settings.vectors.files(settings.root).values():
        return path.name.removesuffix(".gz").removesuffix(".txt")
    return f"{settings.vectors.name}.{dim}d"


def write_metrics(folder: Path, epochs: Sequence[EpochRow]) -> None:
    """Write metrics.csv: one row per epoch; a shared training's epochs are as it recorded them."""
    header = [field.name for field in fields(EpochRow)]
    results.write_csv(
        folder / results.METRICS, header, (list(vars(row).values()) for row in epochs)
    )


def write_predictions(folder: Path, labels: Tensor, scores: Tensor, names: Sequence[str]) -> None:
    """Write predictions.csv: test index, label, prediction.

    Args:
        folder: The run's folder.
        labels: The class of each test sentence (sentences,).
        scores: The score of each class for each sentence (sentences, classes).
        names: The names of the classes.
    """
    pairs = zip(labels.tolist(), scores.argmax(1).tolist(), strict=True)
    results.write_csv(
        folder / results.PREDICTIONS,
        ("index", "label", "prediction"),
        ((i, names[label], names[guess]) for i, (label, guess) in enumerate(pairs)),
    )


def write_spectra(folder: Path, spectra: Mapping[str, Tensor]) -> None:
    """Write spectra.csv: the table's singular values, largest first.

    Args:
        folder: The run's folder.
        spectra: The values (d,) `before` and `after` training.
    """
    results.write_csv(
        folder / results.SPECTRA,
        ("stage", "index", "singular_value"),
        [
            (moment, index, f"{value:.6g}")
            for moment, values in spectra.items()
            for index, value in enumerate(values.tolist())
        ],
    )
