"""The output of a run while it trains and when it is finished."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ccompress.config.settings import Settings
from ccompress.experiment import log, results
from ccompress.training.trainer import EpochRow

Row = Mapping[str, Any]


@contextmanager
def progress(
    settings: Settings,
) -> Iterator[tuple[Callable[[EpochRow], None], Callable[[str], None]]]:
    """Yield two functions: one to call after each epoch, and one to call with each line to print.

    On a terminal they show a progress bar with the remaining time, otherwise a line per epoch. They
    print nothing for a quiet run.
    """
    total, quiet = settings.epochs, settings.quiet
    terminal = sys.stderr.isatty()
    what = settings.names["method"]
    with tqdm(total=total, desc=what, unit="epoch", disable=quiet or not terminal) as bar:

        def say(line: str) -> None:
            if not quiet:
                bar.write(line)
                sys.stdout.flush()

        def on_epoch(row: EpochRow) -> None:
            if not bar.n:  # stored epochs took no time
                bar.initial = bar.n = row.epoch - 1
            bar.update(row.epoch - bar.n)
            bar.set_postfix_str(f"loss {row.train_loss:.4f}, dev {row.dev_accuracy:.2f} %")
            if not terminal:
                say(log.epoch(row, total))

        yield on_epoch, say
        bar.leave = bar.n > 0  # where all epochs were stored it has shown nothing


def show(
    row: Row, reference: Row | None, settings: Settings, note: str, reference_note: str
) -> None:
    """Print the results of a run, and add them to its log if it was not finished before.

    Args:
        row: The row of the run.
        reference: The row of the uncompressed network, if it is known.
        settings: The settings of the run.
        note: A note if the run was finished before, otherwise "".
        reference_note: Where the reference comes from, or why there is none.
    """
    lines = [_title(row)]
    lines += [f"  {name:<11} {text}" for name, text in _facts(row, reference, reference_note)]
    if only := results.only_prediction(settings.folder):
        lines.append(f"  {'warning':<11} it predicts {only!r} for every text of test")
    lines.append(f"  {'run':<11} {settings.folder}" + f"  ({note})" * bool(note))
    print("\n".join(lines))
    if not note:
        log.add(settings.folder, lines)


def _title(row: Row) -> str:
    size = "".join(f", {what} {row[what]}" for what in ("rank", "bits") if row[what])
    rate = f" at rate {row['rate']:g}" if row["rate"] else ""
    return f"{row['dataset']}, {row['network']}, {row['method']}{rate}{size}"


def _facts(row: Row, reference: Row | None, reference_note: str) -> Iterator[tuple[str, str]]:
    """The name and the text of each line."""
    yield "data", data(row)
    yield "vectors", vectors(row)
    is_reference = reference is not None and reference["run_id"] == row["run_id"]
    if is_reference:
        yield "accuracy", f"{_accuracy(row)} ({_errors(row)}); this is the reference"
    elif reference is None:
        yield "reference", reference_note
        yield "compressed", f"{_accuracy(row)} ({_errors(row)})"
    else:
        yield "reference", f"{_accuracy(reference)} ({reference_note})"
        yield "compressed", _accuracy(row)
        test, dev = drop(row, reference)
        yield "drop", f"{test:+.2f} points on test, {dev:+.2f} on dev ({_errors(row)})"
    what = "model file" if results.file_bytes(row) else "model"
    yield what, smaller(*model_sizes(row, reference))
    yield "embedding", smaller(row["embedding_bytes_original"], row["embedding_bytes"])


def data(row: Row) -> str:
    """The sizes of the data set in one line."""
    sizes = ", ".join(f"{row[f'{split}_size']:,} {split}" for split in ("train", "dev", "test"))
    return f"{sizes}; {row['classes']} classes"


def vectors(row: Row) -> str:
    """The vectors, and how many rows of the table and tokens of the training text have one."""
    words = f"{row['vocab_with_vector']:,} of {row['vocab_size']:,} rows"
    share = row["tokens_with_vector"]  # earlier versions did not record it
    tokens = "" if share is None else f" and {100 * share:.1f} % of the tokens of train"
    return f"{results.vectors_name(row['vectors'])}, for {words}{tokens}"


def drop(row: Row, reference: Row) -> tuple[float, float]:
    """The drop of a run from its reference, in points, on test and on dev."""
    test, dev = (reference[key] - row[key] for key in ("test_accuracy", "dev_accuracy"))
    return test, dev


def model_sizes(row: Row, reference: Row | None) -> tuple[int, float]:
    """The bytes of the reference's and of the run's model, as deployed (folded).

    These are sizes of files if they are known. Everything except the tensors takes about the same
    space in both files, so the reference need not have been trained. Earlier versions recorded only
    the tensors, or nothing about the deployed network; in the latter case the second number is nan.
    """
    tensors = row["folded_bytes"]
    if tensors is None:
        return row["model_bytes_original"], math.nan
    whole, file = row["model_bytes_original"], results.file_bytes(row)
    if file is None:
        return whole, tensors
    return (reference and results.file_bytes(reference)) or whole + file - tensors, file


def smaller(before: float, after: float) -> str:
    """Two sizes, and by how much the second is smaller; nan is a size that was not recorded."""
    if math.isnan(after):
        return f"{results.size(before)} -> not recorded by an earlier version (force=true runs it)"
    share = f"{100 * (1 - after / before):.1f} % smaller"
    return f"{results.size(before)} -> {results.size(after)} ({share})"


def _accuracy(row: Row) -> str:
    return f"{row['test_accuracy']:.2f} % on test, {row['dev_accuracy']:.2f} % on dev"


def _errors(row: Row) -> str:
    """The sampling errors of the accuracies on test and on dev."""
    test, dev = (
        results.sampling(row[f"{split}_accuracy"], row[f"{split}_size"])
        for split in ("test", "dev")
    )
    errors = f"sampling error {test} on test, {dev} on dev"
    return f"{errors}; {results.BRACKETS}" if "[" in errors else errors
