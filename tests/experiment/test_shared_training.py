"""Runs share the training of the reference and nothing else."""

import csv
from dataclasses import dataclass

import composing
import pytest
import tiny_data

from ccompress.experiment import results
from ccompress.experiment.run import run
from ccompress.methods.none import NoCompression
from ccompress.methods.quantization import Quantization


@dataclass(kw_only=True)
class Halved(Quantization):
    """A user's method that begins with another table than the reference and quantizes it later."""

    def prepare(self, table, rate):
        return super().prepare(table / 2, rate)


@dataclass(kw_only=True)
class FormerName(Quantization):
    """A user's method from the time when `reference_epochs` was called `stages`."""

    def stages(self, epochs):
        return super().stages(epochs) - 1

    def compress(self, table, rate, counts):
        return self.prepare(table, rate)


@pytest.fixture
def trained(tmp_path):
    """Runs a method in a runs folder; returns its row and the rows of its metrics.csv."""
    tiny = tiny_data.write(tmp_path / "data")

    def train(runs, *overrides):
        settings = composing.settings(*tiny, f"runs_dir={tmp_path / runs}", *overrides)
        row = run(settings, "", on_epoch=lambda row: None)
        with (settings.folder / "metrics.csv").open() as file:
            return row, list(csv.DictReader(file))

    return train


def same(row):
    return {key: row[key] for key in set(results.COLUMNS) - set(results.MEASURED)}


def test_a_method_that_prepares_another_table_shares_nothing(trained):
    alone, _ = trained("alone", "method=none")
    # Neither run may use what the other one stored, in either order.
    first, epochs = trained("first", "method=quantization", f"method._target_={__name__}.Halved")
    after, _ = trained("first", "method=none")
    assert after["reused_stages"] == 0
    assert same(after) == same(alone)

    second, again = trained("alone", "method=quantization", f"method._target_={__name__}.Halved")
    assert second["reused_stages"] == 0
    assert same(second) == same(first)
    assert [epoch["train_loss"] for epoch in again] == [epoch["train_loss"] for epoch in epochs]
    assert {epoch["stage"] for epoch in epochs} == {"prepared"}


def test_a_method_that_prepares_nothing_shares_the_reference(trained):
    reference, _ = trained("runs", "method=none")
    quantized, epochs = trained("runs", "method=quantization", "rate=0.5")
    assert (reference["reused_stages"], quantized["reused_stages"]) == (0, 1)
    assert {epoch["stage"] for epoch in epochs} == {"reference"}


def test_the_former_name_of_reference_epochs_still_works(trained):
    method = FormerName()
    assert method.reference_epochs(4) == method.stages(4) == 3
    assert NoCompression().stages(4) == NoCompression().reference_epochs(4) == 4
    _, epochs = trained("runs", "method=quantization", f"method._target_={__name__}.FormerName")
    assert [epoch["stage"] for epoch in epochs] == ["reference"] * 3 + ["compressed"]
