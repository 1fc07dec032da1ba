"""What a run shows while it trains and when it is done."""

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
    """Give functions to call after each epoch, and with each line that is to be said.

    They show a bar with the time left on a terminal, else a line an epoch; nothing if the run is to
    be quiet.
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
            if not bar.n:  # epochs that were stored took no time
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
    """Print what came out of a run, and add it to the log of one that has just been done.

    Args:
        row: The run's.
        reference: That of the uncompressed network, if it is known.
        settings: The run's.
        note: That the run was finished before, or "".
        reference_note: Where the reference comes from, or why there is none.
    """
    lines = [_title(row)]
    lines += [f"  {name:<11} {text}" for name, text in _facts(row, reference, reference_note)]
    lines.append(f"  {'run':<11} {settings.folder}" + f"  ({note})" * bool(note))
    print("\n".join(lines))
    if not note:
        log.add(settings.folder, lines)


def _title(row: Row) -> str:
    size = "".join(f", {what} {row[what]}" for what in ("rank", "bits") if row[what])
    rate = f" at rate {row['rate']:g}" if row["rate"] else ""
    return f"{row['dataset']}, {row['network']}, {row['method']}{rate}{size}"


def _facts(row: Row, reference: Row | None, reference_note: str) -> Iterator[tuple[str, str]]:
    """Name and text of each line."""
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
    yield "embedding", smaller(row["embedding_bytes_original"], row["embedding_bytes"])
    what = "model file" if results.file_bytes(row) else "model"
    yield what, smaller(*model_sizes(row, reference))


def data(row: Row) -> str:
    """The data set's sizes, in one line."""
    sizes = ", ".join(f"{row[f'{split}_size']:,} {split}" for split in ("train", "dev", "test"))
    return f"{sizes}; {row['classes']} classes"


def vectors(row: Row) -> str:
    """The vectors, and how much of the vocabulary and of the training text has one."""
    words = f"{row['vocab_with_vector']:,} of {row['vocab_size']:,} rows"
    share = row["tokens_with_vector"]  # earlier versions did not record it
    tokens = "" if share is None else f" and {100 * share:.1f} % of the tokens of train"
    return f"{results.vectors_name(row['vectors'])}, for {words}{tokens}"


def drop(row: Row, reference: Row) -> tuple[float, float]:
    """Points that a run lies under its reference, on test and on dev."""
    test, dev = (reference[key] - row[key] for key in ("test_accuracy", "dev_accuracy"))
    return test, dev


def model_sizes(row: Row, reference: Row | None) -> tuple[int, float]:
    """Bytes of the reference's model and of the run's, as they are deployed (folded).

    Of the files, if they are known: all but the tensors takes about the same in both, so the
    reference need not have been trained. Earlier versions knew only the tensors, or nothing of what
    is deployed: then the second number is nan.
    """
    tensors = row["folded_bytes"]
    if tensors is None:
        return row["model_bytes_original"], math.nan
    whole, file = row["model_bytes_original"], results.file_bytes(row)
    if file is None:
        return whole, tensors
    return (reference and results.file_bytes(reference)) or whole + file - tensors, file


def smaller(before: float, after: float) -> str:
    """Two sizes, and by how much the second is smaller; nan is one that was not recorded."""
    if math.isnan(after):
        return f"{results.size(before)} -> not recorded by an earlier version (force=true runs it)"
    share = f"{100 * (1 - after / before):.1f} % smaller"
    return f"{results.size(before)} -> {results.size(after)} ({share})"


def _accuracy(row: Row) -> str:
    return f"{row['test_accuracy']:.2f} % on test, {row['dev_accuracy']:.2f} % on dev"


def _errors(row: Row) -> str:
    """The sampling errors of the accuracies on test and on dev."""
    test, dev = (
        results.sampling_error(row[f"{split}_accuracy"], row[f"{split}_size"])
        for split in ("test", "dev")
    )
    return f"sampling error {test:.2f} on test, {dev:.2f} on dev"
