"""The plain loop's networks in PyTorch Lightning, if it is installed (the extra `bench`)."""

import logging
import time
import warnings
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import LEARNING_RATE, Epoch, loader
from ccompress.data.batches import Encoded


class Module(lightning.LightningModule):
    """A network with its optimizer, and hooks that measure the time of an epoch inside `fit`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # Each call of `fit` trains one epoch. All calls share this optimizer.
        self.optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        self.correct = self.seen = 0
        self.began = self.trained = self.evaluated = self.ended = 0.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in the plain loop."""
        return self.optimizer

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """The loss of a batch."""
        tokens, lengths, labels = batch
        return F.cross_entropy(self.network(tokens, lengths), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        """Count the correct predictions of a batch."""
        tokens, lengths, labels = batch
        self.correct += int((self.network(tokens, lengths).argmax(1) == labels).sum())
        self.seen += len(labels)

    def on_train_epoch_start(self) -> None:
        """Note the time at which the epoch begins."""
        self.began = time.perf_counter()

    def on_validation_epoch_start(self) -> None:
        """Note the time at which the evaluation begins."""
        self.correct = self.seen = 0
        self.trained = time.perf_counter()

    def on_validation_epoch_end(self) -> None:
        """Note the time at which the evaluation ends."""
        self.evaluated = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        """Note the time at which the epoch ends."""
        self.ended = time.perf_counter()


class LightningLoop:
    """A network in training, one epoch per call, without logger, checkpoints or progress bar."""

    def __init__(
        self, network: nn.Module, train: Encoded, dev: Encoded, device: torch.device
    ) -> None:
        self.module = Module(network)
        self.train, self.dev = loader(train, True), loader(dev, False)
        self.options: dict[str, Any] = {
            "accelerator": "gpu" if device.type == "cuda" else "cpu",
            "devices": 1,
            "max_epochs": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def epoch(self) -> Epoch:
        """Train one epoch and evaluate on dev."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning advises workers, which would be slower here
            lightning.Trainer(**self.options).fit(self.module, self.train, self.dev)
        module = self.module
        return Epoch(
            module.ended - module.began,
            module.evaluated - module.trained,
            100 * module.correct / module.seen,
        )
