"""`ccompress shrink`: make a small model from a file of labelled texts."""

import argparse
import functools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ccompress import installation, storage
from ccompress.commands.arguments import Arguments
from ccompress.data import columns, oddities
from ccompress.data.base import Dataset, Splits
from ccompress.errors import InputError
from ccompress.experiment import results

if TYPE_CHECKING:
    from ccompress.baselines import tfidf
    from ccompress.experiment.candidates import Candidate

BASELINE = "TF-IDF, linear"
# With a reference that is so many points under the linear baseline on dev, drops say little.
UNTRAINED = 5.0


def main(arguments: Sequence[str]) -> int:
    """Train what may fit, show it from the smallest to the largest, and name the one to take."""
    given = _parsed(arguments)
    # torch takes seconds to import, which --help does without
    from ccompress.experiment import shrink

    file: Path = given.file
    chosen = columns.recognised(file, _delimiter(given.options), given.text, given.label)
    print(f"{file}: texts in {chosen.text!r}, labels in {chosen.label!r}")
    task = shrink.Task(file, chosen, given.test, given.options)
    splits = task.load()
    _print_splits(splits, given.test)
    reference = task.reference(splits)
    settings = reference.settings
    words = shrink.words_with_vector(settings, splits)
    for line in oddities.coverage(splits, words):
        print(line, flush=True)
    out = settings.results_dir / "shrink" / file.name.partition(".")[0]
    points = _baseline(splits, out / "baseline", settings.dataset)
    epochs = task.epochs(splits, _say(given.quiet))
    candidates = task.candidates(splits, epochs)
    rows = shrink.sweep(candidates)
    models = _models(candidates, rows, points, out / "baseline")
    whole = rows[0]["dev_accuracy"]
    is_linear = models["method"] == BASELINE
    network = shrink.smallest(models[~is_linear], whole, given.within)
    bar = max([whole, *models.loc[is_linear, "dev_accuracy"]])
    best = shrink.smallest(models, bar, given.within)
    models["chosen"] = models.index == best
    results.write_runs(out / results.RUNS, rows)
    _write(models, out, shrink.REFERENCE, len(splits.test))
    _conclude(models, len(splits.test), given.within, bar - whole)
    _warn(candidates, rows)
    print(f"written: {out}")
    _use(models.loc[best], models.loc[network], file, given.options)
    return 0


def _say(quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else functools.partial(print, flush=True)


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "shrink",
        "Makes a small model from labelled texts in a file: trains networks that are compressed in "
        "several ways and a linear baseline, compares them, and recommends one.",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="labelled texts in UTF-8: .csv, .tsv, .json, .jsonl, also with .gz after it",
    )
    parser.add_overrides(
        "options", "options of the runs, such as vectors=glove network=lstm dataset.delimiter=';'"
    )
    parser.add_argument(
        "--text", metavar="COLUMN", help="the column of the texts (default: guess, and print it)"
    )
    parser.add_argument(
        "--label", metavar="COLUMN", help="the column of the labels (default: guess, and print it)"
    )
    parser.add_argument(
        "--test", type=Path, metavar="FILE", help="texts to test with (default: a fifth of FILE)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--within",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="the drop on dev that the small model may have, from the reference or from the "
        "linear baseline, whichever is better (default: %(default)s)",
    )
    return parser


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    given = parser().read(arguments)
    if not (math.isfinite(given.within) and given.within >= 0):
        raise InputError(f"--within {given.within}: give a number of points, 0 or more")
    for option in given.options:
        if option.partition("=")[0] in ("method", "rate", "seed", "dataset"):
            raise InputError(f"{option}: shrink chooses it itself; leave it out")
    given.options += ["quiet=true"] * given.quiet
    return given


def _delimiter(options: Sequence[str]) -> str | None:
    """The value of the option `dataset.delimiter`, if there is one."""
    for option in options:
        key, _, value = option.partition("=")
        if key == "dataset.delimiter":
            return value.strip("'\"")
    return None


def _print_splits(splits: Splits, test: Path | None) -> None:
    """Print the sizes of the splits, and what is odd about the texts."""
    sizes = {name: len(getattr(splits, name)) for name in ("train", "dev", "test")}
    counts = ", ".join(f"{count:,} {name}" for name, count in sizes.items())
    print(f"{sum(sizes.values()):,} texts, {len(set(splits.train.labels))} classes: {counts}")
    held = "a tenth of each is dev" if test else "a fifth of each is test, of the rest a fifth dev"
    print(f"split by class: {held}; the same each time")
    for oddity in oddities.oddities(splits):
        print(f"note: {oddity}")


def _baseline(splits: Splits, folder: Path, dataset: Dataset) -> "list[tfidf.Point]":
    """The linear baseline in all sizes; none, without scikit-learn."""
    if not find_spec("sklearn"):
        install = installation.command("baseline")
        print(f"no linear baseline: it needs scikit-learn ({install})")
        return []
    from ccompress.baselines import tfidf  # imported here, because --help needs no torch

    return tfidf.train(splits, folder, dataset.tokenizer, dataset.columns)


def _models(
    candidates: Sequence["Candidate"],
    rows: Sequence[Mapping[str, Any]],
    points: "Sequence[tfidf.Point]",
    baselines: Path,
) -> pd.DataFrame:
    """All models, from the smallest file to the largest; see `model_sizes.COLUMNS`.

    A further column, `place`, is what `ccompress predict` calls the model.
    """
    kept = ["method", "file_bytes", "dev_accuracy", "test_accuracy", "status"]
    runs = pd.DataFrame(rows)[kept].assign(
        model=[candidate.name for candidate in candidates],
        smaller=[bool(candidate.options) for candidate in candidates],
        place=[str(candidate.settings.folder) for candidate in candidates],
    )
    done = runs[runs["status"] == "done"].drop(columns="status")
    linear = pd.DataFrame(
        {
            "method": BASELINE,
            "file_bytes": [point.file_bytes for point in points],
            "dev_accuracy": [point.dev_accuracy for point in points],
            "test_accuracy": [point.test_accuracy for point in points],
            "model": [f"{BASELINE}, {point.features} features" for point in points],
            "smaller": False,
            "place": [str(baselines / point.file) for point in points],
        }
    )
    models = pd.concat([done, linear] if points else [done], ignore_index=True)
    for split in ("dev", "test"):  # the reference comes first
        models[f"{split}_drop"] = rows[0][f"{split}_accuracy"] - models[f"{split}_accuracy"]
    return models.sort_values("file_bytes", ignore_index=True)


def _write(models: pd.DataFrame, out: Path, reference: str, tested: int) -> None:
    """Write models.csv and the picture under `out`."""
    from ccompress.report import document, lettering, model_sizes

    table = models[list(model_sizes.COLUMNS)].to_csv(index=False, lineterminator="\n")
    storage.write_text(out / "models.csv", table)
    picture = document.Picture(
        "sizes", "", lambda: model_sizes.figure(models, BASELINE, reference, tested)
    )
    lettering.tell_missing(document.write_figure(out, picture))


def _conclude(models: pd.DataFrame, tested: int, within: float, behind: float) -> None:
    """Print the table, and why one of its models is the one to take.

    Args:
        models: See `_models`.
        tested: The number of texts in test.
        within: The option.
        behind: How far the reference is under the best linear model on dev, in points.
    """
    from ccompress.report import model_sizes

    print(f"\n{model_sizes.shown(models, tested)}\n")
    bar = "the reference on dev"
    if round(behind, 1) > 0:
        bar = f"the best linear model on dev, which is {behind:.1f} points above the reference"
    print(f"-> is the smallest within {within:g} of {bar}; chosen without test")
    if behind > UNTRAINED:
        print(
            "single words and pairs of them tell these classes better than a network that is "
            "trained on so few texts; drops from this reference say little"
        )


def _warn(candidates: Sequence["Candidate"], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print which runs failed, and which predict one class only."""
    for candidate, row in zip(candidates, rows, strict=True):
        if row["status"] == "failed":
            print(f"failed: {candidate.name}: {row['error']}")
    folders = {candidate.name: candidate.settings.folder for candidate in candidates}
    if blind := [name for name, folder in folders.items() if results.only_prediction(folder)]:
        print(f"warning: one class is predicted for every text of test by {'; '.join(blind)}")


def _use(
    best: "pd.Series[Any]", network: "pd.Series[Any]", file: Path, options: Sequence[str]
) -> None:
    """Say which model to take, and the commands that use it.

    Args:
        best: The chosen model.
        network: The chosen one of the networks, which alone can be exported.
        file: The file of the texts.
        options: The user's options.
    """
    predict = ["ccompress", "predict", best["place"], str(file)]
    if delimiter := _delimiter(options):
        predict += ["--delimiter", delimiter]
    print(f"this one: {_said(best)}; predict with\n  {shlex.join(predict)}")
    export = ["ccompress", "export", network["place"], "--format", "onnx"]
    needs = [name for name in ("onnx", "onnxscript", "tokenizers") if not find_spec(name)]
    more = f" (needs {installation.command('export')})" if needs else ""
    if best["place"] == network["place"]:
        print(f"export with{more}\n  {shlex.join(export)}")
        return
    print(
        "a linear model is not exported; the smallest network within the same of the reference: "
        f"{_said(network)}; export it with{more}\n  {shlex.join(export)}"
    )


def _said(model: "pd.Series[Any]") -> str:
    """The size and the accuracy of a model."""
    size, accuracy = results.size(model["file_bytes"]), model["test_accuracy"]
    return f"{size}, {accuracy:.1f} % on test (drop {model['test_drop']:+.1f} points)"
