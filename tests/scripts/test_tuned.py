"""The page of scripts/tuned.py: the runs that it reads, and its sentences."""

import base64

import numpy as np
import pandas as pd
import pytest
import tuned

from ccompress.experiment import results

UPPERS = (0.001, 0.002, 0.004)
SEEDS = 3
ITEMS = 200
# The accuracies of each method: on dev at each learning rate, and on test.
METHODS = {
    "none": ((0.90, 0.85, 0.80), 0.90),
    "in_training_svd": ((0.80, 0.89, 0.88), 0.88),
    "pre_training_svd": ((0.70, 0.75, 0.86), 0.80),
}


def rows(dataset, network):
    """The runs of one cell after successive halving, and the test items that they got right."""
    generator = np.random.default_rng([len(dataset), len(network)])
    lines, bits = [], {}
    for method, (dev, test) in METHODS.items():
        best = sorted(range(3), key=lambda place: -dev[place])[:2]
        for place, upper in enumerate(UPPERS):
            for seed in range(SEEDS if place in best else 1):
                run_id = f"{len(lines):04d}{dataset[:4]}{network}"
                right = generator.random(ITEMS) < test
                bits[run_id] = base64.b64encode(np.packbits(right).tobytes()).decode()
                sizes = {"none": (0.0, 1000), "in_training_svd": (0.91, 200)}
                reduction, folded = sizes.get(method, (0.9, 180))
                lines.append(
                    {
                        "run_id": run_id,
                        "status": "done",
                        "overrides": f"ccompress schedule.upper={upper} seed={seed}",
                        "dataset": dataset,
                        "network": network,
                        "method": method,
                        "rate": 0.0 if method == "none" else 0.9,
                        "seed": seed,
                        "vectors": "some.300d",
                        "dev_accuracy": 100 * dev[place],
                        "test_accuracy": 100 * right.mean(),
                        "test_size": ITEMS,
                        "achieved_reduction": reduction,
                        "folded_bytes": folded,
                        "model_bytes_original": 1000,
                    }
                )
    return lines, bits


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Two finished cells, and one that has only seed 0."""
    lines, bits = [], {}
    for cell in (("sst2", "dan"), ("trec", "lstm")):
        more, of_cell = rows(*cell)
        lines += more
        bits |= of_cell
    impossible = {"run_id": "ffff", "status": "failed", "method": "quantization", "rate": 0.99}
    lines.append({**lines[0], **impossible, "dev_accuracy": None, "test_size": None})
    begun, of_cell = rows("books", "dan")
    lines += [row for row in begun if row["seed"] == 0]
    folder = tmp_path / "tuned"
    folder.mkdir()
    pd.DataFrame(lines).to_csv(folder / results.RUNS, index=False)
    results.write_csv(folder / results.CORRECT, ("run_id", "correct"), (bits | of_cell).items())
    monkeypatch.setattr(tuned, "RUNS", folder / results.RUNS)
    return folder


def test_only_runs_of_finished_cells_at_chosen_rates_are_read(experiment):
    taken = tuned.at_choices(tuned.read(tuned.RUNS))
    assert set(taken["dataset"]) == {"sst2", "trec"}
    chosen = taken.groupby("method")["upper"].agg(set).to_dict()
    assert chosen == {"none": {0.001}, "in_training_svd": {0.002}, "pre_training_svd": {0.004}}
    assert len(taken) == 2 * 3 * SEEDS
    reference = taken[taken["method"] == "none"].set_index(["dataset", "seed"])["test_accuracy"]
    for row in taken.itertuples():
        assert row.drop == pytest.approx(reference[row.dataset, row.seed] - row.test_accuracy)


def test_a_run_that_failed_is_never_chosen(experiment):
    frame = pd.read_csv(tuned.RUNS)
    best = frame["overrides"].str.contains("0.002") & (frame["method"] == "in_training_svd")
    frame.loc[best, "status"] = "failed"
    frame.to_csv(tuned.RUNS, index=False)
    chosen = tuned.choices(tuned.read(tuned.RUNS)).set_index(["dataset", "method"])["upper"]
    assert chosen["sst2", "in_training_svd"] == 0.004


def test_the_page_says_which_is_better_and_by_how_much(experiment, capsys):
    tuned.main()
    page = (experiment / "README.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == page.strip()
    assert "Not finished: 2 of 10 cells" in page
    assert "are complete: sst2 dan, trec lstm. Nothing below holds for the others." in page
    assert "- 90 % of the table removed: `in_training_svd` is better, " in page
    taken = tuned.at_choices(tuned.read(tuned.RUNS))
    means = taken.groupby("method")["test_accuracy"].mean()
    difference = means["in_training_svd"] - means["pre_training_svd"]
    assert f"is better, {difference:.2f} [" in page
    drop = means["none"] - means["pre_training_svd"]
    assert f"| 90 % | pre_training_svd | 90 % | 82 % | {drop:.2f} [" in page
    for name in ("drop", "cells"):
        assert (experiment / "figures" / f"{name}.svg").is_file()
