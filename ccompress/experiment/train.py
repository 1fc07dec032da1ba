"""The training of a run: the reference's epochs, the compression, the epochs after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ccompress import machine
from ccompress.config.settings import Settings, digest
from ccompress.data.batches import Encoded
from ccompress.data.prepare import Prepared
from ccompress.deployment import model
from ccompress.experiment import log, shared_training
from ccompress.networks import rest
from ccompress.networks.base import Network
from ccompress.training.checkpoint import Origin
from ccompress.training.trainer import EpochRow, Recipe, Stage, Trainer


@dataclass(frozen=True)
class Voice:
    """Passes the messages of a run to its caller, and writes them to the run's log.

    Attributes:
        settings: The settings of the run.
        folder: The run's folder; None: there is no run yet, and so no log.
        on_epoch: A function that is called after each trained epoch.
        on_line: A function that is called with each further line of text.
    """

    settings: Settings
    folder: Path | None
    on_epoch: Callable[[EpochRow], None]
    on_line: Callable[[str], None]

    def epoch(self, row: EpochRow) -> None:
        """Tell of a trained epoch."""
        self._log(log.epoch(row, self.settings.epochs))
        self.on_epoch(row)

    def resumed(self, origin: Origin) -> None:
        """Tell that the training continues from a stored state."""
        by = "this run" if origin.run_id == self.settings.run_id else f"run {origin.run_id}"
        stored = f", stored by {by}" if origin.run_id else ""
        line = f"continues after epoch {origin.epoch} of {self.settings.epochs}{stored}"
        self._log(line)
        self.on_line(line)

    def _log(self, line: str) -> None:
        if self.folder:
            log.add(self.folder, [line])


def train(
    settings: Settings,
    data: Prepared,
    splits: Mapping[str, Encoded],
    voice: Voice,
) -> tuple[Trainer, bool]:
    """Train and compress; return the trainer, and whether stored epochs were reused."""
    method, rate, epochs = settings.method, settings.rate, settings.epochs
    before = method.reference_epochs(epochs)
    trainer, reused = train_until_step(settings, data, splits, voice)
    network = trainer.network
    if before:
        counts = data.counts.to(trainer.device)
        trainer.replace_embedding(lambda table: method.compress(table, rate, counts))
    if before < epochs:
        own = _store(settings, settings.identity, trainer.device, voice)
        reused |= shared_training.train_rest(
            trainer, own, _after_compression(settings, network, trainer.step), epochs
        )
        trainer.restore_best()
    network.embedding = method.finish(network.embedding)
    return trainer, reused


def _store(
    settings: Settings, identity: Mapping[str, Any], device: torch.device, voice: Voice
) -> shared_training.Store:
    """Where a training with this identity is stored."""
    folder = settings.runs_dir / shared_training.FOLDER
    key = digest([identity, _machine(settings, device)])[:16]
    return shared_training.Store(folder, key, settings.run_id, voice.resumed)


def train_until_step(
    settings: Settings, data: Prepared, splits: Mapping[str, Encoded], voice: Voice
) -> tuple[Trainer, bool]:
    """Train the epochs that come before `Method.compress`; see `train`."""
    device = splits["train"].tokens.device
    method, epochs = settings.method, settings.epochs
    before = method.reference_epochs(epochs)

    torch.manual_seed(settings.seed)
    embedding = method.prepare(data.table, settings.rate)
    network = model.build(settings.network, embedding, len(data.labels)).to(device)
    recipe = Recipe(
        settings.schedule.learning_rate, settings.batch_size, settings.seed, settings.optimizer
    )
    trainer = Trainer(network, splits["train"], splits["dev"], recipe, data.train_rows, voice.epoch)
    if not before:
        return trainer, False
    reused = False
    if method.shared_epochs(epochs):
        shared = _store(settings, settings.reference_identity, device, voice)
        reused = shared_training.train_reference(trainer, shared, before)
    else:
        trainer.train("prepared", before)
    if before == epochs:
        trainer.restore_best()  # the method compresses the network of the best epoch
    return trainer, reused


def _after_compression(settings: Settings, network: Network, begun: int) -> Stage:
    """How to train a network after its embedding is compressed, from step `begun` on."""
    method, precision = settings.method, settings.rest

    if precision == rest.FLOAT32:
        scores = None

        def evaluated() -> Network:
            return network.over(method.evaluated(network.embedding))
    else:
        scores = rest.ThroughRounding(network, precision)

        def evaluated() -> Network:
            return rest.shipped(network.over(method.finish(network.embedding)), precision)

    def learning_rate(step: int, steps_per_epoch: int) -> float:
        schedule = settings.schedule.learning_rate
        return method.learning_rate_at(schedule, step, step - begun, steps_per_epoch)

    return Stage("compressed", scores, evaluated, method.loss, learning_rate)


def _machine(settings: Settings, device: torch.device) -> list[Any]:
    """The properties of the machine on which the last bits of a training depend."""
    name, versions = machine.device_name(device), machine.cuda_versions(device)
    return [name, settings.threads, torch.__version__, *versions]
