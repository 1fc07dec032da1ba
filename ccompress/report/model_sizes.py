"""The accuracy of models of all sizes on one data set: the table and the figure of `shrink`."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ccompress.experiment.results import BRACKETS, accuracy_interval, sampling, sampling_error, size
from ccompress.report import axes
from ccompress.report.style import LINEAR, REFERENCE_COLOUR, method_styles

# Columns of a table of models: `method` is that of a run, or the baseline's name; a drop is in
# points under the reference; `smaller` marks a network that is smaller than the reference's, and
# `chosen` the model that is recommended.
COLUMNS = (
    "model",
    "method",
    "file_bytes",
    "dev_accuracy",
    "dev_drop",
    "test_accuracy",
    "test_drop",
    "smaller",
    "chosen",
)


def shown(models: pd.DataFrame, tested: int) -> str:
    """A table from the smallest file to the largest, as text; `tested` texts are in test."""
    errors = [sampling(accuracy, tested, 1) for accuracy in models["test_accuracy"]]
    wide = models["model"].str.len().max()
    table = pd.DataFrame(
        {
            "": models["chosen"].map({True: "->", False: ""}),
            "model".ljust(wide): models["model"].str.ljust(wide),
            "file": models["file_bytes"].map(size),
            "dev": models["dev_accuracy"].map("{:.1f} %".format),
            "dev drop": models["dev_drop"].map("{:+.1f}".format),
            "test": models["test_accuracy"].map("{:.1f} %".format),
            "± error": errors,
            "test drop": models["test_drop"].map("{:+.1f}".format),
        }
    )
    text: str = table.to_string(index=False)
    note = f"± error: the standard error of an accuracy on {tested:,} texts of test"
    brackets = f"; {BRACKETS}" if any(error.startswith("[") for error in errors) else ""
    return f"{text}\n{note}{brackets}"


def figure(models: pd.DataFrame, baseline: str, reference: str, tested: int) -> Figure:
    """Test accuracy against the size of the file, a marker a method.

    A band is the reference's accuracy and its standard error; at 0 and 100 %, its 95 % interval.

    Args:
        models: With the columns of `COLUMNS`.
        baseline: The method that is drawn as a line: its models are of one kind.
        reference: The method that is not compressed.
        tested: How many texts are in test.
    """
    drawing = Figure(figsize=(5.4, 3.6), layout="constrained")
    ax = drawing.add_subplot()
    (whole,) = models.loc[models["method"] == reference, "test_accuracy"]
    error, spread = sampling_error(whole, tested), "± standard error"
    low, high = whole - error, whole + error
    if not error > 0:
        spread, (low, high) = "95 % interval", accuracy_interval(whole, tested)
    ax.axhspan(low, min(high, 100), color="0.92", linewidth=0, zorder=0)
    ax.axhline(whole, color=REFERENCE_COLOUR, linewidth=0.8, zorder=1)
    _points(ax, models[models["method"] == baseline], LINEAR | {"label": baseline})
    methods = [m for m in dict.fromkeys(models["method"]) if m not in (reference, baseline)]
    for method, style in method_styles(methods).items():
        rows = models[models["method"] == method]
        look = style.points()
        _points(ax, rows[~rows["smaller"]], look | {"label": method, "markersize": 5.5})
        _points(ax, rows[rows["smaller"]], look | {"markersize": 3.5})
    star = {"marker": "*", "markersize": 9, "label": f"{reference}, {spread}"}
    small = {"marker": "o", "markersize": 3.5, "label": "small: a smaller network"}
    ring = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "label": "chosen on dev"}
    alone = {"linestyle": "none"}
    _points(ax, models[models["method"] == reference], alone | star | {"color": REFERENCE_COLOUR})
    _points(ax, models[models["chosen"]], alone | ring | {"color": "0.2"})
    if models["smaller"].any():
        _points(ax, models.iloc[:0], alone | small | {"color": "0.5"})
    axes.sizes(ax)
    ax.set_xlabel("model file (log scale)")
    ax.set_ylabel("test accuracy, %")
    drawing.legend(loc="outside upper center", ncols=3, frameon=False, columnspacing=1.2)
    return drawing


def _points(ax: Axes, rows: pd.DataFrame, look: dict[str, Any]) -> None:
    ax.plot(rows["file_bytes"], rows["test_accuracy"], **look)
