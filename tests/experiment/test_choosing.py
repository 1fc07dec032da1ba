"""A sweep in which each method chooses its learning rate, and the file of correct predictions."""

import base64

import numpy as np
import pandas as pd
import pytest
from command_line import run_in_process

from ccompress.experiment import halving, results

CHOOSING = [
    "-m",
    "hydra.sweeper.choose=schedule.upper",
    "method=none,pre_training_svd",
    "rate=0.7",
    "schedule.upper=0.0005,0.002,0.008,0.032",
    "seed=0,1,2",
    "experiment_name=mine",
    "save_model=false",
    "train.epochs=2",
]
RUNS = 2 * (4 + 2 * 2)


@pytest.fixture(scope="module")
def chosen(tiny, tmp_path_factory):
    """A folder with the results of the sweep, and what the sweep printed."""
    folder = tmp_path_factory.mktemp("chosen")
    done = run_in_process(folder, *tiny, *CHOOSING)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_each_method_chooses_its_learning_rate_and_the_sweep_resumes(tiny, chosen):
    where, output = chosen
    assert f"{RUNS} of {RUNS} runs are done" in output
    folder = where / "results" / "mine"
    runs = pd.read_csv(folder / results.RUNS)
    assert len(runs) == RUNS
    runs["upper"] = runs["overrides"].str.extract(r"schedule\.upper=(\S+)").astype(float)
    for _, of_method in runs.groupby("method"):
        seeds = of_method.groupby("upper")["seed"].apply(set)
        first_seed = of_method[of_method["seed"] == 0].sort_values("upper")
        scores = {upper: [score] for upper, score in first_seed[["upper", "dev_accuracy"]].values}
        finalists = halving.best(scores, 2)
        assert seeds.to_dict() == {
            upper: {0, 1, 2} if upper in finalists else {0} for upper in scores
        }

    written = (folder / results.RUNS).read_bytes(), (folder / results.CORRECT).read_bytes()
    again = run_in_process(where, *tiny, *CHOOSING)
    assert again.returncode == 0
    assert "to do" in again.stdout
    assert [line.split(", ")[-1] for line in again.stdout.splitlines() if "to do" in line][-1] == (
        "0 to do"
    )
    assert written == (
        (folder / results.RUNS).read_bytes(),
        (folder / results.CORRECT).read_bytes(),
    )


def test_the_correct_predictions_of_each_run_are_stored(chosen):
    where, _ = chosen
    folder = where / "results" / "mine"
    runs = pd.read_csv(folder / results.RUNS).set_index("run_id")
    kept = pd.read_csv(folder / results.CORRECT).set_index("run_id")["correct"]
    assert set(kept.index) == set(runs.index)
    for run_id, packed in kept.items():
        bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8))
        row = runs.loc[run_id]
        right = bits[: row["test_size"]]
        assert 100 * right.mean() == pytest.approx(row["test_accuracy"])
        predictions = pd.read_csv(where / "results" / "runs" / run_id / results.PREDICTIONS)
        assert (right == (predictions["label"] == predictions["prediction"])).all()


def test_a_choice_of_one_value_is_refused(ccompress, tiny):
    refused = ccompress(*tiny, "-m", "hydra.sweeper.choose=schedule.upper", "seed=0,1")
    assert refused.returncode == 2
    assert "hydra.sweeper.choose=schedule.upper: sweep two values of it or more" in refused.stderr
