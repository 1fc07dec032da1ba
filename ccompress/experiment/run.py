"""One run: data, network, training with compression, result. The module reads top to bottom."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from omegaconf import OmegaConf

from ccompress import machine, storage
from ccompress.config.settings import PROTOCOL, Settings
from ccompress.data.base import vectors_cache
from ccompress.data.prepare import Prepared
from ccompress.data.prepare import prepare as prepare_data
from ccompress.deployment import model
from ccompress.errors import DeviceLost, InputError, described
from ccompress.experiment import log, measure, record, results, unfinished
from ccompress.experiment.train import Voice, train
from ccompress.methods.base import Size
from ccompress.networks import rest
from ccompress.numerics.svd import spectrum
from ccompress.training.evaluation import accuracy, predict
from ccompress.training.trainer import EpochRow

LESS_MEMORY = (
    "use a smaller train.batch_size, vocab.max_size or network, or fewer processes at the same "
    "time (hydra.launcher.n_jobs)"
)


def finished(settings: Settings) -> dict[str, Any] | None:
    """The run's result if it need not run again: from its folder, or from a committed runs.csv."""
    if settings.force:
        return None
    row = results.read_result(settings.folder)
    if row is not None and row["status"] == "done":
        model_is_there = (settings.folder / model.FILE).is_file()
        return row if model_is_there or not settings.save_model else None
    if settings.experiment_name is None:
        return None
    row = results.committed(settings.results_dir, settings.experiment_name, settings.run_id)
    # A committed row without a model does not count for a run that must store its model.
    return row if row and (row["model_saved"] or not settings.save_model) else None


def run(
    settings: Settings,
    overrides: str,
    on_epoch: Callable[[EpochRow], None],
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train, compress and test, write the run's folder, and return its result.

    If two processes want the same run, one runs it, and the other waits and returns the same
    result. A run that fails writes a result with `status` failed and its error, and then raises the
    error. Refused input is not a run and leaves no folder.

    Args:
        settings: The checked configuration.
        overrides: The command line that repeats this run.
        on_epoch: A function that is called after each trained epoch.
        say: A function that is called with each further line of text during the training.

    Raises:
        InputError: The options do not fit the data (an impossible rate), the data cannot be read,
            or the run's folder cannot be written.
        Diverged: The loss became infinite or not a number.
        OutOfMemory: The machine or its GPU has no memory left.
        DeviceLost: This process can no longer use its GPU.
    """
    with _alone(settings):
        voice = Voice(settings, settings.folder, on_epoch, say)
        return finished(settings) or _run(settings, overrides, voice)


def _run(settings: Settings, overrides: str, voice: Voice) -> dict[str, Any]:
    began = time.perf_counter()
    row = record.of_settings(settings, overrides) | {"status": "failed"}
    begun = False
    try:
        with machine.threads(settings.threads), machine.hardware_errors(LESS_MEMORY):
            task = _checked(settings)
            _begin(settings, row)
            begun = True
            log.add(
                settings.folder, filter(None, [f"{row['created']}: {overrides}", task.data.warning])
            )
            row |= _train_and_test(settings, task, voice)
    except (Exception, DeviceLost) as error:
        if storage.disk_is_full(error):
            raise  # the run did not fail, and no row can be written
        if not begun:
            if isinstance(error, InputError):
                raise  # the input was refused, and there is no run
            _begin(settings, row)
        # The row records any error. The command line decides what happens to the error itself.
        row["error"] = described(error)
        row["total_seconds"] = time.perf_counter() - began
        log.add(settings.folder, [f"failed: {row['error']}"])
        results.write_result(settings.folder, row)
        unfinished.end(settings)
        raise
    row |= {"status": "done", "total_seconds": time.perf_counter() - began}
    log.add(settings.folder, [log.done(row)])
    whole = results.write_result(settings.folder, row)
    unfinished.end(settings)
    return whole


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the run's lock. The operating system frees it however the process ends."""
    lock = FileLock(settings.runs_dir / ".locks" / f"{settings.run_id}.lock")
    with _writable(settings):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _begin(settings: Settings, row: Mapping[str, Any]) -> None:
    """Make the run's folder, delete an old result, and write the configuration.

    Args:
        settings: The settings of the run.
        row: The columns of its result that are known already.
    """
    with _writable(settings):
        settings.folder.mkdir(parents=True, exist_ok=True)
        (settings.folder / results.RESULT).unlink(missing_ok=True)
        text = OmegaConf.to_yaml(OmegaConf.create(dict(settings.resolved)))
        storage.write_text(settings.folder / "config.yaml", text)
        unfinished.begin(settings, dict(row))


@contextmanager
def _writable(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write the runs folder {settings.runs_dir}: {error.strerror}; "
            f"give another with runs_dir=FOLDER"
        ) from error


def prepare(settings: Settings, vectors: Path | None = None) -> Prepared:
    """The run's data as token ids and a table, prepared once for all runs with the same data.

    Args:
        settings: The settings of the run.
        vectors: The folder for whole sets of vectors; None: the user's.
    """
    return prepare_data(
        settings.dataset,
        settings.vectors,
        policy=settings.vocab.policy,
        max_size=settings.vocab.max_size,
        min_count=settings.vocab.min_count,
        longest=settings.ngrams,
        root=settings.root,
        cache=settings.runs_dir / ".prepared",
        vectors_cache=vectors or vectors_cache(),
        identity={**settings.data_identity, "protocol": PROTOCOL},
    )


@dataclass(frozen=True)
class _Task:
    """The device of a run, its data, and the rank or bits that its rate leaves."""

    device: torch.device
    data: Prepared
    size: Size


def _checked(settings: Settings) -> _Task:
    """Prepare the device and the data, and refuse unsuitable options before any training."""
    device = machine.choose_device(settings.device)
    machine.use_device(device, settings.precision)
    measure.reset_peak_memory(device)
    data = prepare(settings)
    rows, dim = data.table.shape
    size = settings.method.size_for(data.counts, dim, settings.rate)
    settings.method.reference_epochs(settings.epochs)
    model.reference_bytes(settings.network, rows, dim, len(data.labels))  # builds the network
    return _Task(device, data, size)


def _train_and_test(settings: Settings, task: _Task, voice: Voice) -> dict[str, Any]:
    """Train, compress and test; return the columns of the row that come from this."""
    device, data = task.device, task.data
    splits = {name: split.to(device) for name, split in data.splits.items()}
    # Training changes the table in place.
    spectra = {} if settings.method.uses_rate else {"before": spectrum(data.table)}
    trainer, reused = train(settings, data, splits, voice)
    network = trainer.network
    size = settings.method.shipped_size(network.embedding, task.size)

    shipped = rest.shipped(network, settings.rest)  # the network as it is deployed
    tested = network if settings.rest == rest.FLOAT32 else shipped
    dev_scores = predict(tested, splits["dev"])
    test_scores = predict(tested, splits["test"])  # the test split is read here only
    record.write_metrics(settings.folder, trainer.rows)
    record.write_predictions(settings.folder, splits["test"].labels, test_scores, data.labels)
    if spectra:
        spectra["after"] = spectrum(next(network.embedding.parameters()).detach())
        record.write_spectra(settings.folder, spectra)
    peak_memory = measure.peak_memory(device)
    small = record.model_of(settings, data, network)
    tokens = float(splits["test"].lengths.double().mean())
    return {
        **record.of_data(settings, data),
        **asdict(size),
        "dev_accuracy": accuracy(dev_scores, splits["dev"].labels),
        "test_accuracy": accuracy(test_scores, splits["test"].labels),
        **record.of_size(settings, data, network, shipped),
        **record.of_file(settings, small),
        # The operations of the deployed network, which may have another width than its rank.
        "flops_per_sentence": shipped.flops(tokens, shipped.width),
        "latency_ms": measure.latency_ms(shipped, splits["test"]),
        "train_seconds": sum(epoch.seconds for epoch in trainer.rows),
        "reused_stages": int(reused),
        "peak_memory_bytes": peak_memory,
        "device": machine.device_name(device),
        "versions": machine.versions(device),
    }
