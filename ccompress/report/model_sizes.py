"""What models of all sizes reach on one data set: the table and the picture of `shrink`."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ccompress.report import axes
from ccompress.report.style import REFERENCE_COLOUR, method_styles
from ccompress.report.tables import size

# Columns of a table of models: `method` is that of a run, or the baseline's name; `chosen` marks
# the model that is recommended.
COLUMNS = ("model", "method", "file_bytes", "dev_accuracy", "test_accuracy", "drop", "chosen")


def shown(models: pd.DataFrame) -> str:
    """A table from the smallest file to the largest, as text."""
    table = pd.DataFrame(
        {
            "": models["chosen"].map({True: "->", False: ""}),
            "model": models["model"],
            "file": models["file_bytes"].map(size),
            "dev": models["dev_accuracy"].map("{:.1f} %".format),
            "test": models["test_accuracy"].map("{:.1f} %".format),
            "drop on test": models["drop"].map("{:+.1f}".format),
        }
    )
    text: str = table.to_string(index=False)
    return text


def figure(models: pd.DataFrame, baseline: str, reference: str) -> Figure:
    """Test accuracy against the size of the file, a marker a method.

    Args:
        models: With the columns of `COLUMNS`.
        baseline: The method that is drawn as a line: its models are of one kind.
        reference: The method that is not compressed.
    """
    drawing = Figure(figsize=(5.2, 3.2), layout="constrained")
    ax = drawing.add_subplot()
    methods = [name for name in dict.fromkeys(models["method"]) if name != reference]
    for method, style in method_styles(methods).items():
        rows = models[models["method"] == method]
        look = style.line() if method == baseline else style.points()
        ax.plot(rows["file_bytes"], rows["test_accuracy"], label=method, **look)
    star: dict[str, Any] = {"marker": "*", "markersize": 8, "label": f"{reference} (reference)"}
    ring: dict[str, Any] = {"marker": "o", "markersize": 11, "label": "chosen on dev"}
    for rows, colour, look in (
        (models[models["method"] == reference], REFERENCE_COLOUR, star),
        (models[models["chosen"]], "0.3", ring | {"markerfacecolor": "none"}),
    ):
        x, y = rows["file_bytes"], rows["test_accuracy"]
        ax.plot(x, y, color=colour, linestyle="none", **look)
    axes.sizes(ax)
    ax.set_xlabel("model file (log scale)")
    ax.set_ylabel("test accuracy, %")
    drawing.legend(loc="outside right upper", frameon=False)
    return drawing
