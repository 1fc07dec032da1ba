"""The size of a run's model file, before the run: from the network as its table is compressed.

What a method leaves of a table is settled when it compresses the table. Training changes the
numbers afterwards, not how many there are. So the size at any rate is known once the epochs before
that are trained, and these do not depend on the rate. Only the Huffman code of the other layers
changes its size: the most that it can take is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ccompress import machine
from ccompress.config.settings import Settings
from ccompress.data.prepare import Prepared
from ccompress.deployment import model
from ccompress.experiment import record
from ccompress.experiment.run import LESS_MEMORY, prepare
from ccompress.experiment.train import Voice, train_until_step
from ccompress.networks import rest
from ccompress.networks.base import Network
from ccompress.networks.folding import fold
from ccompress.training.trainer import EpochRow


@dataclass(frozen=True)
class AtStep:
    """A network and its data at the step, when the method compresses the table, or untrained.

    Attributes:
        settings: The settings of a run at any rate.
        data: Its data.
        network: The network, over the whole table.
    """

    settings: Settings
    data: Prepared
    network: Network

    @classmethod
    def untrained(cls, settings: Settings) -> "AtStep":
        """Before the first epoch."""
        data = prepare(settings)
        rows, dim = data.table.shape
        embedding = torch.nn.Embedding(rows, dim, _weight=data.table)
        return cls(settings, data, model.build(settings.network, embedding, len(data.labels)))

    @classmethod
    def trained(cls, settings: Settings, on_epoch: Callable[[EpochRow], None]) -> "AtStep":
        """When all epochs are trained that come before the step; runs share them.

        If there are none, because the method compresses before it trains, nothing is trained.

        Raises:
            Diverged: The loss became infinite or not a number.
        """
        if not settings.method.reference_epochs(settings.epochs):
            return cls.untrained(settings)
        with machine.threads(settings.threads), machine.hardware_errors(LESS_MEMORY):
            device = machine.choose_device(settings.device)
            machine.use_device(device, settings.precision)
            data = prepare(settings)
            splits = {name: split.to(device) for name, split in data.splits.items()}
            voice = Voice(settings, None, on_epoch, lambda _: None)
            trainer, _ = train_until_step(settings, data, splits, voice)
            return cls(settings, data, trainer.network)

    def file_bytes(self, rate: float) -> int:
        """The size of the model file of a run at this rate, or a little more.

        The layers other than the table count with the most that they can take.
        """
        settings, data = self.settings, self.data
        with machine.threads(settings.threads), machine.hardware_errors(LESS_MEMORY):
            network = self._compressed(rate)
            parts = model.contents(record.model_of(settings, data, network)).file_bytes()
            return sum(parts) - parts.rest + rest.most_bytes(fold(network), settings.rest)

    def _compressed(self, rate: float) -> Network:
        method = self.settings.method
        if method.reference_epochs(self.settings.epochs):
            table = next(self.network.embedding.parameters()).detach()
            embedding = method.compress(table, rate, self.data.counts.to(table.device))
            return self.network.over(method.finish(embedding))
        embedding = method.finish(method.prepare(self.data.table, rate))
        return model.build(self.settings.network, embedding, len(self.data.labels))
