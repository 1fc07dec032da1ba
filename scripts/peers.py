#!/usr/bin/env python
"""Compare small text classifiers of several tools by their accuracy and the size of their file.

`ccompress baseline` (TF-IDF and a linear classifier), fastText's quantized classifiers, torch's and
torchao's quantized tables, and `in_training_svd_mixed` with its other layers in 8 bits. All read
the same tokens and splits; the last two start from the same vectors, and fastText may. Every
setting of a tool is tried once, with seed 0. For each size of file, the best on dev is then trained
with all seeds. Each row of peers.csv is one stored model, read back from its file. Rows that are
there are not computed again.

    scripts/peers                           # all of it: rows, then results/peers/README.md
    scripts/peers --datasets trec --tools fastText torch
    scripts/peers --page                    # the page and its figures alone
"""

import argparse
import base64
import os
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import peers_page
import torch
from filelock import FileLock
from peers_page import BASELINE
from peers_tools import TOOLS, Predict, Stored, Task, load, tfidf_models

from ccompress import machine
from ccompress.config.settings import digest
from ccompress.data.base import Examples
from ccompress.experiment import results

DATASETS = ("trec", "snips", "sst2", "clinc150")
# The package of each tool that `machine.versions` leaves out.
PACKAGES = {
    BASELINE: "scikit-learn",
    "ccompress": "safetensors",
    "torch": "torchao",
    "fastText": "fasttext-numpy2",
}
_TIMED = 320  # sentences whose time is measured


def main() -> None:
    """Compute the rows that are missing, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--tools", nargs="+", choices=(BASELINE, *TOOLS), help="some tools")
    parser.add_argument("--out", type=Path, default=Path("results/peers"))
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--page", action="store_true", help="write the page, compute nothing")
    options = parser.parse_args()
    tools = options.tools or [BASELINE, *TOOLS]
    if not options.page:
        os.environ["OMP_NUM_THREADS"] = "1"  # of libraries that are imported later
        torch.set_num_threads(1)
        experiment = Experiment(options.out)
        for name in options.datasets:
            experiment.run(load(name, options.runs), tools)
    peers_page.write(options.out, {name: tool.settings for name, tool in TOOLS.items()})


class Experiment:
    """The rows of peers.csv, each computed once.

    Args:
        out: The folder of the rows.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)

    def run(self, task: Task, tools: Sequence[str]) -> None:
        """Every setting with seed 0, then the chosen ones with the other seeds."""
        if BASELINE in tools and not self._has(task, BASELINE):
            self._add_baseline(task)
        for tool in (tool for tool in tools if tool != BASELINE):
            for setting in TOOLS[tool].settings:
                self._add(task, tool, setting, seed=0)
        # More seeds may show a file that is too large, and another setting is chosen.
        while missing := peers_page.missing(self._rows(task), tools):
            for tool, setting, seed in missing:
                self._add(task, tool, setting, seed)

    def _rows(self, task: Task) -> pd.DataFrame:
        rows = peers_page.read(self.out)
        return rows[rows["dataset"] == task.name]

    def _has(self, task: Task, tool: str, setting: str | None = None, seed: int = 0) -> bool:
        rows = self._rows(task)
        same = (rows["tool"] == tool) & (rows["seed"] == seed)
        return bool((same if setting is None else same & (rows["setting"] == setting)).any())

    def _add_baseline(self, task: Task) -> None:
        """The rows of all baselines, which have no seed; together, so that none is left out."""
        with tempfile.TemporaryDirectory() as folder:
            models = tfidf_models(task, Path(folder))
            rows = [self._row(task, BASELINE, name, 0, stored) for name, stored in models]
        self._append(rows)

    def _add(self, task: Task, tool: str, setting: str, seed: int) -> None:
        """The row of a setting and seed, unless it is there."""
        if self._has(task, tool, setting, seed):
            return
        with tempfile.TemporaryDirectory() as folder:
            stored = TOOLS[tool].train(task, setting, seed, Path(folder))
            self._append([self._row(task, tool, setting, seed, stored)])

    def _row(
        self, task: Task, tool: str, setting: str, seed: int, stored: Stored
    ) -> dict[str, Any]:
        key = {"dataset": task.name, "tool": tool, "setting": setting, "seed": seed}
        dev, test = task.splits.dev, task.splits.test
        right = correct(stored.predict, test)
        row = {
            "run_id": digest(list(key.values()))[:12],
            **key,
            "dev_accuracy": 100 * correct(stored.predict, dev).mean(),
            "test_accuracy": 100 * right.mean(),
            "file_bytes": stored.path.stat().st_size,
            "per_second_1": per_second(stored.predict, test.tokens, 1),
            "per_second_64": per_second(stored.predict, test.tokens, 64),
            "train_seconds": stored.seconds,
            "test_size": len(test),
            "device": machine.device_name(torch.device("cpu")),
            "versions": f"{machine.versions()}, {PACKAGES[tool]} {version(PACKAGES[tool])}",
            "command": stored.command,
        }
        print(", ".join(str(row[name]) for name in peers_page.TOLD), flush=True)
        return row | {"correct": base64.b64encode(np.packbits(right).tobytes()).decode("ascii")}

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows to peers.csv, and what they classified correctly to correct.csv.xz."""
        with FileLock(self.out / ".lock"):
            parts = {peers_page.ROWS: peers_page.COLUMNS, results.CORRECT: ("run_id", "correct")}
            for name, columns in parts.items():
                before = results.read_csv(self.out / name)[1:]
                added = [tuple(_written(row[column]) for column in columns) for row in rows]
                results.write_csv(self.out / name, columns, [*before, *added])


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def correct(predict: Predict, examples: Examples) -> npt.NDArray[np.bool_]:
    """Whether the label of each example was predicted (examples,)."""
    predicted = zip(predict(examples.tokens), examples.labels, strict=True)
    return np.array([label == true for label, true in predicted])


def per_second(predict: Predict, texts: Sequence[list[str]], batch: int) -> float:
    """Tokenized sentences a second of one thread's own time, the best of three passes."""
    timed = [texts[i : i + batch] for i in range(0, min(len(texts), _TIMED), batch)]
    seconds = []
    for _ in range(3):
        begun = time.thread_time()
        for some in timed:
            predict(some)
        seconds.append(time.thread_time() - begun)
    return sum(map(len, timed)) / min(seconds)


if __name__ == "__main__":
    main()
