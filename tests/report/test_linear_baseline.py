"""The baseline without embeddings in reports: a row and a line of its own, in no mean."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from ccompress.errors import InputError
from ccompress.report import figures, linear_baseline, stored_runs
from ccompress.report.aggregation import summarize
from ccompress.report.style import printing

RUNS = {"dataset": "sst2", "classes": 2, "train_size": 7000, "dev_size": 800, "test_size": 1821}


def store(results_dir: Path, **changed: object) -> None:
    """Three baselines, the largest file first."""
    path = results_dir / "baseline" / "sst2" / "baseline.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [(90_000, 81.0, 82.5), (5_000, 75.0, 76.0), (20_000, 79.0, 82.8)]
    names = ("file_bytes", "dev_accuracy", "test_accuracy")
    others = {"features": 9, "levels": 7, "classifier": "linear SVM, C = 1"}
    rows = [RUNS | changed | dict(zip(names, point, strict=True)) | others for point in points]
    pd.DataFrame(rows).to_csv(path, index=False)


@pytest.fixture
def done(grid, write) -> pd.DataFrame:
    return stored_runs.read(write(grid(["sst2", "trec"], rates=[0.5, 0.9]))).done


def test_the_row_is_that_of_dev_beside_the_networks_of_its_data_set(done, tmp_path):
    store(tmp_path)
    cells = summarize(done)
    shown = linear_baseline.table(linear_baseline.read(tmp_path, done), cells, within=1.0)
    (row,) = shown.numbers.to_dict("records")
    reference = cells.loc[
        (cells["data"] == "sst2") & (cells["method"] == "none"), "accuracy"
    ].mean()
    assert (row["data"], row["accuracy"], row["file_bytes"]) == ("sst2", 82.5, 90_000)
    assert row["difference"] == pytest.approx(82.5 - reference)
    assert row["smallest_near"] == 20_000  # 5,000 bytes lose more than a point
    assert shown.shown[""].iloc[0]["its file"] == "90 kB"


@pytest.mark.parametrize("changed", [{"train_size": 98_794}, {"classes": 5}, {"dataset": "custom"}])
def test_a_baseline_of_other_texts_is_left_out(done, tmp_path, changed):
    store(tmp_path, **changed)
    assert linear_baseline.read(tmp_path, done).empty


def test_what_is_no_baseline_is_refused(done, tmp_path):
    store(tmp_path)
    path = tmp_path / "baseline" / "sst2" / "baseline.csv"
    pd.read_csv(path).drop(columns="classes").to_csv(path, index=False)
    with pytest.raises(InputError, match="lacks the columns classes: run ccompress baseline again"):
        linear_baseline.read(tmp_path, done)


def test_the_line_is_drawn_for_its_data_set_alone(done, tmp_path):
    store(tmp_path)
    baselines = linear_baseline.read(tmp_path, done)
    make = functools.partial(figures.accuracy_against_bytes, done, summarize(done), 1.0)
    with printing():
        with_line, without = make(baselines), make(baselines.iloc[:0])
    lines = [
        {tuple(np.asarray(line.get_xdata())) for line in ax.findobj(Line2D)}
        for ax in with_line.axes
    ]
    drawn = (20_000, 90_000)  # the smallest lies under the panel
    assert [drawn in of_panel for of_panel in lines] == [True, False]
    labels = [[text.get_text() for text in f.legends[0].get_texts()] for f in (with_line, without)]
    assert [linear_baseline.LABEL in of_figure for of_figure in labels] == [True, False]
