"""scripts/reproduce_paper --quick trains a part of the paper again and compares the rows."""

import os
import subprocess
import sys
from pathlib import Path

import compare_rows
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_small_part_of_the_paper_is_trained_again_and_compared(real_data, tmp_path):
    """One training and two methods, with the same script as the complete experiment."""
    small = ["dataset=trec", "method=none,quantization", "rate=0.5,0.9", "seed=0", "device=cpu"]
    done = subprocess.run(
        [ROOT / "scripts" / "reproduce_paper", "--quick", tmp_path / "made", *small],
        env={**os.environ, "PYTHON": sys.executable, "CCOMPRESS_DATA": str(real_data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "3 runs: 0 finished before, 3 to do" in done.stdout
    assert (tmp_path / "made" / "tables.md").is_file()
    assert (tmp_path / "made" / "figures" / "accuracy_vs_rate.png").is_file()
    page = (tmp_path / "made" / "comparison.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| trec |")]
    assert len(lines) == 3
    runs = pd.read_csv(ROOT / "results" / "paper" / "runs.csv")
    cells = runs.query("dataset == 'trec' and network == 'dan' and seed == 0")
    for line, (method, rate) in zip(
        lines, (("none", 0), ("quantization", 0.5), ("quantization", 0.9)), strict=True
    ):
        row = cells.query(f"method == '{method}' and rate == {rate}").iloc[0]
        shown = [value.strip() for value in line.split("|")[1:-1]]
        assert shown[3:6] == [method, f"{rate:.1f}", "1"]
        assert shown[7] == f"{row['test_accuracy']:.2f}"  # the committed accuracy of the same seed
        assert shown[-1] in (compare_rows.SAME, compare_rows.WITHIN, compare_rows.OUTSIDE)
    assert "3 cells: " in done.stdout


def rows(accuracies, first_id=0, method="none"):
    """Runs of one cell, one for each seed."""
    return pd.DataFrame(
        {
            "run_id": [f"{first_id + seed}" for seed in range(len(accuracies))],
            **{"dataset": "trec", "network": "dan", "schedule": "calr"},
            "method": method,
            "rate": 0.0,
            "test_accuracy": accuracies,
        }
    )


@pytest.mark.parametrize(
    ("accuracies", "agrees"),
    [
        ([80.0, 81.0], "the same"),
        ([81.0, 80.0], "within"),
        # mean 82, s = 1.581, t = 2.776: 82 +- 2.776 * 1.581 * sqrt(1/2 + 1/5) = 82 +- 3.673
        ([85.6, 85.7], "within"),
        ([85.7, 85.7], "OUTSIDE"),
        ([78.3, 78.3], "OUTSIDE"),
    ],
)
def test_a_cell_agrees_if_it_is_within_the_range_of_other_seeds(accuracies, agrees):
    committed = rows([80.0, 81.0, 82.0, 83.0, 84.0])
    (line,) = compare_rows.compared(rows(accuracies), committed).to_dict("records")
    assert line["agrees"] == agrees
    assert (line["same seeds"], line["all seeds"]) == ("80.50", "82.00 ± 3.67")
    assert line["difference"] == f"{sum(accuracies) / 2 - 80.5:+.2f}"


def test_runs_of_another_configuration_are_not_compared():
    committed = rows([80.0, 81.0, 82.0])
    runs = pd.concat([rows([80.0]), rows([50.0], first_id=100, method="quantization")])
    table = compare_rows.compared(runs, committed)
    assert table["agrees"].tolist() == ["the same", "no such row"]
    assert table["same seeds"].tolist() == ["80.00", ""]
    conclusion = compare_rows.conclusion(table)
    assert conclusion.startswith("1 cells: 1 equal")
    assert "1 more have no committed row" in conclusion
