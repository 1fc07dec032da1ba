"""`ccompress evaluate`: the accuracy of a run's small model on a file of labelled texts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ccompress import storage
from ccompress.commands.arguments import Arguments
from ccompress.commands.stored_model import add_delimiter, add_device, add_run, open_run
from ccompress.data import table_file
from ccompress.data.base import Columns
from ccompress.data.datasets.custom import Labelled, gaps, labelled, refuse_gaps
from ccompress.errors import InputError
from ccompress.experiment.results import sampling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ccompress.deployment.classifier import Prediction

Matrix = np.ndarray[Any, np.dtype[np.int64]]

UNKNOWN = "(unknown)"  # the class of all texts whose label the model does not know
NO_WORDS = "(no words)"  # what is predicted for all texts without words

_READABLE = 20  # the number of classes whose confusion matrix fits a picture
_FEW = 10  # the number of classes up to which the figures of each are printed unasked
_SHOWN = 5  # the number of labels, of lines and of mistakes to show


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "evaluate",
        "Measures the small model of a run on labelled texts: accuracy; precision, recall and F1 "
        "of each class; the confusion matrix; and the prediction for each text. A text whose label "
        "the model does not know counts as an error, and so does a text without words.",
    )
    add_run(parser)
    add_device(parser)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"labelled texts, in a table: {', '.join(table_file.FORMS)}",
    )
    for name in Columns._fields:
        parser.add_argument(
            f"--{name}",
            metavar="COLUMN",
            help=f"column of the {name} (default: that of training)",
        )
    add_delimiter(parser)
    parser.add_argument(
        "--classes",
        action="store_true",
        help=f"print the figures of each class, also of more than {_FEW}",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: evaluation/ beside the model)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print and write accuracy, figures per class and confusions; also write all predictions."""
    given = parser().read(arguments)
    table_file.check_delimiter(given.delimiter, "--delimiter")
    path, small = open_run(given, given.device)
    trained = small.columns or Columns("text", "label")
    columns = Columns(given.text or trained.text, given.label or trained.label)
    rows = list(
        labelled(given.data, {"--text": columns.text, "--label": columns.label}, given.delimiter)
    )
    refuse_gaps([gaps(given.data, columns, [], [row.line for row in rows if not row.label])])
    unknown = unknown_labels(rows, small.labels, given.data)
    guesses = small.predict([row.text for row in rows], top=1)
    wordless = [row.line for row, guess in zip(rows, guesses, strict=True) if guess.label is None]
    labels = [*small.labels, *[UNKNOWN] * bool(unknown), *[NO_WORDS] * bool(wordless)]
    matrix = _matrix(rows, guesses, small.labels, len(labels))
    classes = class_scores(matrix, labels)
    out = given.out or path.parent / "evaluation"
    # The files come first, because the reader of the output (such as `head`) may end early.
    written = _write(out, given.data.stem, matrix, classes, labels, _table(rows, guesses))
    _show(matrix, classes, len(small.labels))
    _show_errors(given.data, unknown, wordless)
    if given.classes or len(small.labels) <= _FEW:
        _show_classes(matrix, classes, labels)
    else:
        _show_weakest(matrix, classes[: len(small.labels)], labels)
    print(written)
    return 0


def unknown_labels(
    rows: Sequence[Labelled], labels: Sequence[str], path: Path
) -> list[tuple[str, int]]:
    """The labels that the model does not know, with their number of rows, most frequent first.

    Raises:
        InputError: The file is empty, or the model knows none of its labels.
    """
    if not rows:
        raise InputError(f"{path} has no examples")
    unknown = Counter(row.label for row in rows if row.label not in set(labels))
    if unknown.total() == len(rows):
        row = rows[0]
        shown = ", ".join(labels[:_READABLE]) + ", …" * (len(labels) > _READABLE)
        raise InputError(
            f"{path} has no label that the model knows: {table_file.place(path, row.line)} has"
            f" {row.label!r}, the model's labels are {shown}; --label names another column"
        )
    return unknown.most_common()


def _matrix(
    rows: Sequence[Labelled], guesses: Sequence["Prediction"], labels: Sequence[str], classes: int
) -> Matrix:
    """The confusion matrix; unknown labels come after the model's, texts without words last.

    Args:
        rows: The labelled texts.
        guesses: The model's prediction for each.
        labels: The model's labels.
        classes: The number of all classes.
    """
    number: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    true = np.array([number.get(row.label, len(labels)) for row in rows])
    given = np.array([number.get(guess.label, classes - 1) for guess in guesses])
    return confusion(true, given, classes)


def _table(rows: Sequence[Labelled], guesses: Sequence["Prediction"]) -> pd.DataFrame:
    """Each text with its label and its prediction."""
    predictions = pd.DataFrame(rows)
    predictions["prediction"] = [guess.label for guess in guesses]
    predictions["probability"] = [guess.probability for guess in guesses]
    return predictions[["line", "label", "prediction", "probability", "text"]]


def confusion(true: Matrix, predicted: Matrix, classes: int) -> Matrix:
    """The number of texts of each class (row) with each predicted label (column)."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_scores(matrix: Matrix, labels: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class as fractions, and its number of texts.

    A figure of 0 / 0 is missing: the precision of a label that is never predicted, the recall of a
    class without texts, and the F1 if both are true.
    """
    right, given, texts = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "label": list(labels),
                "precision": right / given,
                "recall": right / texts,
                "f1": 2 * right / (given + texts),
                "texts": texts,
            }
        )


def confusions(matrix: Matrix, labels: Sequence[str]) -> pd.DataFrame:
    """All mistakes with class, predicted label and count, most frequent first."""
    wrong = matrix - np.diag(matrix.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    rows, columns = np.unravel_index(order, wrong.shape)
    return pd.DataFrame(
        {
            "class": [labels[i] for i in rows],
            "taken for": [labels[j] for j in columns],
            "texts": wrong[rows, columns],
        }
    )


def _show(matrix: Matrix, classes: pd.DataFrame, known: int) -> None:
    """Print the figures of the whole file.

    Args:
        matrix: The confusion matrix.
        classes: The figures of each class.
        known: The number of labels that the model knows; those of its classes come first.
    """
    texts = int(matrix.sum())
    accuracy = 100 * matrix.trace() / texts
    error = sampling(accuracy, texts)
    print(f"accuracy  {accuracy:.2f} %  of {texts} texts (sampling error {error})")
    print(f"mean F1   {100 * classes['f1'][:known].mean():.2f} %  over classes")
    given = np.flatnonzero(matrix.sum(0))
    if len(given) == 1 and np.count_nonzero(matrix.sum(1)) > 1:
        print(f"warning   the model predicts {classes['label'][given[0]]!r} for every text")


def _show_errors(path: Path, unknown: Sequence[tuple[str, int]], wordless: Sequence[int]) -> None:
    """Print which texts count as errors, whatever the model says."""
    if unknown:
        shown = ", ".join(f"{label!r} ({count})" for label, count in unknown[:_SHOWN])
        more = ", …" * (len(unknown) > _SHOWN)
        count = sum(count for _, count in unknown)
        print(
            f"unknown   {count} texts, counted as errors, have a label that the model does not "
            f"know: {shown}{more}"
        )
    if wordless:
        print(
            f"no words  {len(wordless)} texts, counted as errors, have no words: "
            f"{table_file.places(path, wordless)}"
        )


def _show_classes(matrix: Matrix, classes: pd.DataFrame, labels: Sequence[str]) -> None:
    """Print the figures of each class, and of few classes the confusion matrix."""
    print()
    print(classes.to_string(index=False, float_format=lambda x: f"{x:.4f}", na_rep="-"))
    if len(labels) <= _READABLE:
        print("\nconfusion matrix: a row a class, a column a label given")
        print(pd.DataFrame(matrix, list(labels), list(labels)).to_string())
        return
    mistakes = confusions(matrix, labels)
    print(f"\nthe most frequent of {len(mistakes)} confusions")
    print(mistakes.head(_READABLE).to_string(index=False))


def _show_weakest(matrix: Matrix, classes: pd.DataFrame, labels: Sequence[str]) -> None:
    """Print the classes with the smallest F1 and the most frequent mistakes, in a line each."""
    weak = classes[classes["texts"] > 0].sort_values("f1", kind="stable").head(_SHOWN)
    shown = ", ".join(f"{row.label!r} ({100 * row.f1:.0f} %)" for row in weak.itertuples())
    print(f"weakest   {shown}; --classes prints all {len(classes)}")
    mistakes = confusions(matrix, labels)
    shown = ", ".join(
        f"{true!r} taken for {given!r} ({count})"
        for given, true, count in mistakes.head(_SHOWN)[["taken for", "class", "texts"]].to_numpy()
    )
    if shown:
        print(f"mistakes  {shown}")


def _write(
    out: Path,
    name: str,
    matrix: Matrix,
    classes: pd.DataFrame,
    labels: Sequence[str],
    predictions: pd.DataFrame,
) -> str:
    """Write NAME.predictions.csv, .classes.csv, .confusion.csv and .confusion.png.

    Returns:
        A line that names these files.
    """
    from ccompress.report import lettering

    square = pd.DataFrame(matrix, pd.Index(labels, name="class"), list(labels))
    picture = out / f"{name}.confusion.png"
    table = predictions.to_csv(index=False, float_format="%.6f")
    try:
        storage.write_text(out / f"{name}.predictions.csv", table)
        storage.write_text(out / f"{name}.classes.csv", classes.to_csv(index=False))
        storage.write_text(out / f"{name}.confusion.csv", square.to_csv())
        files, missing = lettering.save(draw(matrix, labels), png={"bbox_inches": "tight"})
        with storage.replacing(picture) as temporary:
            temporary.write_bytes(files["png"])
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; give --out FOLDER") from error
    lettering.tell_missing(missing)
    return (
        f"\nwritten: {picture}, and beside it as CSV {name}.confusion.csv, {name}.classes.csv and "
        f"each text with its prediction, {name}.predictions.csv"
    )


def draw(matrix: Matrix, labels: Sequence[str]) -> "Figure":
    """A figure of the confusion matrix: colours are shares of a class, numbers are counts."""
    from matplotlib.figure import Figure

    from ccompress.report.lettering import one_line

    classes = len(labels)
    names = [one_line(label, 40) for label in labels]
    few = classes <= _READABLE
    side = min(0.45 if few else 0.12, 24 / classes)  # inches a class
    size = 8.0 if few else 65 * side  # points: a line of text needs about 1.1 times as much
    # The axes fill the figure. Saving it with bbox_inches="tight" adds space for labels around it.
    figure = Figure(figsize=(side * classes, side * classes), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(classes), names, rotation=90, fontsize=size)
    axes.set_yticks(range(classes), names, fontsize=size)
    axes.set_xlabel("label given")
    axes.set_ylabel("class")
    bar = axes.inset_axes((1 + 0.2 / (side * classes), 0, 0.15 / (side * classes), 1))
    figure.colorbar(image, bar, label="share of the class")
    if few:
        for i, j in np.ndindex(matrix.shape):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=colour, size=size)
    return figure
