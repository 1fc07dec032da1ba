"""A small sweep for tests: its command line and its rows."""

import pandas as pd

from ccompress.experiment import results

SEEDS, RATES = 2, 2


GRID = [
    "-m",
    "method=none,in_training_svd,pre_training_svd,quantization",
    "rate=0.3,0.7",
    "seed=0,1",
    "experiment_name=mine",
    "save_model=false",
    "train.epochs=2",
]


RUNS = SEEDS * (1 + 3 * RATES)  # the reference is one run for all rates


def unmeasured(path):
    """runs.csv without the measured columns, which may differ between two equal runs."""
    frame = pd.read_csv(path / "results" / "mine" / "runs.csv").sort_values("run_id")
    return frame.drop(columns=list(results.MEASURED)).reset_index(drop=True)
