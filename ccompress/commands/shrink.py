"""`ccompress shrink`: make a small model from a file of labelled texts."""

import argparse
import math
import shlex
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ccompress import installation, storage
from ccompress.baselines import tfidf
from ccompress.commands.arguments import Arguments
from ccompress.data import columns, oddities
from ccompress.data.base import Splits
from ccompress.errors import InputError
from ccompress.experiment import results

if TYPE_CHECKING:
    from ccompress.experiment.shrink import Candidate

BASELINE = "TF-IDF, linear"
# A reference that is so many points under the linear baseline on dev has learnt too little.
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
    candidates = task.candidates(splits)
    settings = candidates[0].settings
    words = shrink.words_with_vector(settings, splits)
    for line in oddities.coverage(splits, words):
        print(line, flush=True)
    out = settings.results_dir / "shrink" / file.name.partition(".")[0]
    points = _baseline(splits, out / "baseline")
    rows = shrink.sweep(candidates)
    best = shrink.smallest(rows, given.within)
    models = _models(candidates, rows, points, rows.index(best))
    results.write_runs(out / results.RUNS, rows)
    _write(models, out, shrink.REFERENCE, len(splits.test))
    _conclude(models, len(splits.test), given.within)
    for candidate, row in zip(candidates, rows, strict=True):
        if row["status"] == "failed":
            print(f"failed: {candidate.name}: {row['error']}")
    print(f"written: {out}")
    _use(settings.runs_dir / best["run_id"], models, file, chosen.text, given.options)
    return 0


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
        help="the drop on dev that the small model may have (default: %(default)s)",
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


def _baseline(splits: Splits, folder: Path) -> list[tfidf.Point]:
    """The linear baseline in all sizes; none, without scikit-learn."""
    if not find_spec("sklearn"):
        install = installation.command("baseline")
        print(f"no linear baseline: it needs scikit-learn ({install})")
        return []
    return tfidf.train(splits, folder)


def _models(
    candidates: Sequence["Candidate"],
    rows: Sequence[Mapping[str, Any]],
    points: Sequence[tfidf.Point],
    best: int,
) -> pd.DataFrame:
    """All models, from the smallest file to the largest; see `model_sizes.COLUMNS`."""
    kept = ["method", "file_bytes", "dev_accuracy", "test_accuracy", "status"]
    runs = pd.DataFrame(rows)[kept].assign(
        model=[candidate.name for candidate in candidates],
        smaller=[bool(candidate.smaller) for candidate in candidates],
        chosen=False,
    )
    runs.loc[best, "chosen"] = True
    done = runs[runs["status"] == "done"].drop(columns="status")
    linear = pd.DataFrame(
        {
            "method": BASELINE,
            "file_bytes": [point.file_bytes for point in points],
            "dev_accuracy": [point.dev_accuracy for point in points],
            "test_accuracy": [point.test_accuracy for point in points],
            "model": [f"{BASELINE}, {point.features} features" for point in points],
            "smaller": False,
            "chosen": False,
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


def _conclude(models: pd.DataFrame, tested: int, within: float) -> None:
    """Print the table, and why one of its models is the one to take."""
    from ccompress.experiment.shrink import REFERENCE
    from ccompress.report import model_sizes

    print(f"\n{model_sizes.shown(models, tested)}\n")
    chosen = models[models["chosen"]].iloc[0]
    print(f"-> is the smallest within {within:g} of the reference on dev; chosen without test")
    of_baseline = models[models["method"] == BASELINE]
    linear = of_baseline[of_baseline["dev_accuracy"] >= chosen["dev_accuracy"]]
    if not linear.empty and (small := linear.iloc[0])["file_bytes"] < chosen["file_bytes"]:
        ahead = small["dev_accuracy"] - chosen["dev_accuracy"]
        better = f"{ahead:.1f} points better" if ahead >= 0.1 else "as good"
        print(
            f"but {small['model']}, is {better} on dev in {results.size(small['file_bytes'])}: "
            "here single words and pairs of them tell the classes"
        )
    behind = (
        of_baseline["dev_accuracy"].max()
        - models.loc[models["method"] == REFERENCE, "dev_accuracy"].max()
    )
    if behind > UNTRAINED:
        print(
            f"the reference is {behind:.1f} points under the linear baseline on dev: it has learnt "
            "too little, so that drops from it say little; train.epochs=N trains it longer"
        )


def _use(folder: Path, models: pd.DataFrame, file: Path, text: str, options: Sequence[str]) -> None:
    """Say which model to take, and the commands that use it."""
    one = models[models["chosen"]].iloc[0]
    predict = ["ccompress", "predict", str(folder), str(file), "--column", text]
    if delimiter := _delimiter(options):
        predict += ["--delimiter", delimiter]
    export = ["ccompress", "export", str(folder), "--format", "onnx"]
    needs = [name for name in ("onnx", "onnxscript", "tokenizers") if not find_spec(name)]
    more = f" (needs {installation.command('export')})" if needs else ""
    print(
        f"this one: {results.size(one['file_bytes'])}, drop {one['test_drop']:+.1f} points on test;"
        f" predict with\n  {shlex.join(predict)}\n"
        f"export with{more}\n  {shlex.join(export)}"
    )
