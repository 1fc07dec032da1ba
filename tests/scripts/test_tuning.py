"""The defaults in conf/train agree with the rule and the committed trainings."""

from pathlib import Path

import choose_rates
import own_rates
import pandas as pd
import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]


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


def test_drops_compare_each_method_at_its_rate_with_the_reference_at_its_rate():
    # method and learning rate -> accuracy on test for each seed
    table = {
        ("none", 0.001): [90.0, 91.0],
        ("none", 0.002): [99.0, 99.0],
        ("quantization", 0.001): [80.0, 82.0],
        ("quantization", 0.002): [88.0, 88.0],
    }
    cell = {"dataset": "trec", "data": "trec", "network": "dan", "schedule": "calr"}
    runs = pd.DataFrame(
        cell | {"method": method, "upper": upper, "seed": seed, "test_accuracy": accuracy}
        for (method, upper), accuracies in table.items()
        for seed, accuracy in enumerate(accuracies)
    )
    methods = pd.MultiIndex.from_tuples(
        [("trec", "dan", "none"), ("trec", "dan", "quantization")], names=own_rates.METHOD
    )
    rates = pd.Series([0.001, 0.002], methods)
    taken = own_rates.at(runs, rates).set_index(["method", "seed"])
    assert taken["drop"].to_dict() == {
        ("none", 0): 0.0,
        ("none", 1): 0.0,
        ("quantization", 0): 2.0,
        ("quantization", 1): 3.0,
    }
    assert list(own_rates.shared_rates(methods)) == [0.002, 0.002]  # conf/train/trec_dan.yaml
    with pytest.raises(KeyError):
        own_rates.at(runs[runs["seed"].ne(1) | runs["method"].ne("none")], rates)


def test_the_page_of_own_rates_agrees_with_its_rows(tmp_path, monkeypatch, capsys):
    committed = own_rates.RUNS
    runs = tmp_path / "own_rates" / committed.name
    runs.parent.mkdir()
    runs.write_bytes(committed.read_bytes())
    monkeypatch.setattr(own_rates, "RUNS", runs)
    own_rates.main()
    page = committed.with_name("README.md").read_text(encoding="utf-8")
    assert runs.with_name("README.md").read_text(encoding="utf-8") == page
    assert capsys.readouterr().out.strip() == page.strip()
    for figure in committed.parent.glob("figures/*.svg"):
        assert (runs.parent / "figures" / figure.name).is_file()
