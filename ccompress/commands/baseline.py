"""`ccompress baseline`: the accuracy of TF-IDF with a linear classifier on a data set."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ccompress import storage
from ccompress.commands.arguments import Arguments
from ccompress.config.composition import settings_from
from ccompress.config.settings import Settings
from ccompress.data.base import Splits
from ccompress.errors import InputError
from ccompress.experiment.results import size
from ccompress.report import linear_baseline


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "baseline",
        "Trains TF-IDF of words and word pairs with a linear classifier, chosen on dev, in sizes "
        "from a few kB up. It shows whether word embeddings are worthwhile on your data. Reports "
        "of runs on the same data show it too.",
    )
    parser.add_overrides(
        "options",
        "the data set, as for a run: dataset=sst2, or dataset=custom dataset.train=a.csv …",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: results/baseline/DATASET)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Train the baseline in all sizes, print the accuracy of each, and keep the files."""
    given = parser().read(arguments)
    from ccompress.baselines import tfidf  # imported here, because --help needs no torch

    # The baseline reads no vectors, so none need to exist.
    settings = settings_from([*given.options, "vectors=random", "method=none"])
    name = settings.names["dataset"]
    out = given.out or settings.results_dir / linear_baseline.FOLDER / name
    splits = settings.dataset.load(settings.root)
    try:
        points = tfidf.train(splits, out, settings.dataset.tokenizer, settings.dataset.columns)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give --out FOLDER") from error
    texts = _texts(name, splits)
    table = pd.DataFrame({**texts, **vars(point), "file_name": point.file} for point in points)
    storage.write_text(out / linear_baseline.FILE, table.to_csv(index=False, lineterminator="\n"))
    _show(settings, table, out)
    return 0


def _texts(name: str, splits: Splits) -> dict[str, Any]:
    """What a report recognises the texts by: see `linear_baseline.IDENTITY`."""
    sizes = {"train_size": splits.train, "dev_size": splits.dev, "test_size": splits.test}
    classes = len(set(splits.train.labels))
    return {"dataset": name, "classes": classes, **{key: len(of) for key, of in sizes.items()}}


def _show(settings: Settings, table: pd.DataFrame, out: Path) -> None:
    """Print the baselines from the smallest file to the largest."""
    print(f"{settings.names['dataset']}: TF-IDF and a linear classifier, chosen on dev")
    shown = pd.DataFrame(
        {
            "file": table["file_bytes"].map(size),
            "dev": table["dev_accuracy"].map("{:.2f} %".format),
            "test": table["test_accuracy"].map("{:.2f} %".format),
            "features": table["features"],
            "classifier": table["classifier"],
        }
    )
    print(shown.to_string(index=False))
    print(f"each size is a file in {out}; a larger one is kept only if it is better on dev")
    best = out / table["file_name"].iloc[-1]
    print(f"predict with\n  {shlex.join(['ccompress', 'predict', str(best), 'texts.txt'])}")
