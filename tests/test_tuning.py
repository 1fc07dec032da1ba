"""The defaults in conf/train are what the rule chooses from the committed trainings."""

from pathlib import Path

import choose_rates
import own_rates
import pandas as pd
import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]


def test_the_smallest_rate_within_half_a_point_of_the_best_is_chosen():
    row = pd.Series({0.0005: 79.9, 0.001: 80.5, 0.002: 81.0, 0.004: 80.9, 0.008: 60.0})
    assert choose_rates.chosen(row) == 0.001
    assert choose_rates.chosen(row.replace(80.5, 80.49)) == 0.002
    assert choose_rates.chosen(row[::-1]) == 0.001


FILES = sorted((ROOT / "conf" / "train").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_defaults_are_the_chosen_rates(file):
    dataset, network = file.stem.rsplit("_", 1)
    table = choose_rates.accuracies(choose_rates.RUNS)
    cells = [cell for cell in table.index if cell[:2] == (dataset, network)]
    if not cells:
        pytest.skip(f"results/tuning has no training of {file.stem}")
    defaults = OmegaConf.merge(OmegaConf.load(ROOT / "conf" / "config.yaml"), OmegaConf.load(file))
    for cell in cells:
        assert defaults.train.upper[cell[2]] == choose_rates.chosen(table.loc[cell])


def test_each_method_reads_test_at_its_own_rate_against_one_reference():
    # per method and rate: (accuracy on dev, accuracy on test by seed)
    table = {
        ("none", 0.001): (80.0, [90.0, 91.0]),
        ("none", 0.002): (70.0, [99.0, 99.0]),
        ("quantization", 0.001): (70.0, [80.0, 82.0]),
        ("quantization", 0.002): (75.0, [88.0, 88.0]),
    }
    runs = pd.DataFrame(
        {"network": "dan", "method": method, "upper": upper, "seed": seed}
        | {"dev_accuracy": dev, "test_accuracy": accuracy}
        for (method, upper), (dev, test) in table.items()
        for seed, accuracy in enumerate(test)
    )
    dev = runs.pivot_table("dev_accuracy", own_rates.BY, "upper")
    found = own_rates.drops(runs, dev).set_index("method").loc["quantization"]
    # at the reference's 0.001: drops of 10 and 9; at its own 0.002: of 2 and 3
    assert found["at the reference's rate"].startswith("9.50 [")
    assert found["own rate"] == "0.002"
    assert found["at its own rate"].startswith("2.50 [")
