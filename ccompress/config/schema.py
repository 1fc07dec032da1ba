"""The keys of the configuration and their types."""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any


@typing.runtime_checkable
class Schedule(typing.Protocol):
    """A learning rate as a function of the step."""

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""


@dataclass
class Vocab:
    """Which words get a row of the table.

    Attributes:
        policy: `train` or `train+vectors`.
        max_size: The largest number of rows.
        min_count: The smallest number of occurrences in train.
    """

    policy: str
    max_size: int
    min_count: int


@dataclass
class Train:
    """The training budget.

    Attributes:
        epochs: The number of epochs.
        batch_size: Sentences per step.
        upper: Schedule -> its upper learning rate.
    """

    epochs: int
    batch_size: int
    upper: dict[str, float]


@dataclass
class Data:
    """Where data sets and vectors are stored."""

    root: str


GROUPS = ("dataset", "vectors", "network", "method", "schedule")
SECTIONS = {"vocab": Vocab, "train": Train, "data": Data}


@dataclass
class Schema:
    """Every key of the configuration, with its type."""

    dataset: Any
    vectors: Any
    network: Any
    method: Any
    schedule: Any
    vocab: Vocab
    train: Train
    data: Data
    rate: float
    target_bytes: int | None
    seed: int
    rest: str
    optimizer: str
    device: str
    precision: str
    threads: int | None
    save_model: bool
    reference: str
    quiet: bool
    force: bool
    results_dir: str
    runs_dir: str
    experiment_name: str | None


def key_of(override: str) -> str:
    """The key that an override of the command line sets, adds (`+`) or deletes (`~`)."""
    return override.lstrip("+~").partition("=")[0]


def keys() -> list[str]:
    """All keys except those that depend on the chosen options."""
    root = [field.name for field in dataclasses.fields(Schema)]
    return root + [
        f"{section}.{field.name}"
        for section, schema in SECTIONS.items()
        for field in dataclasses.fields(schema)
    ]
