"""The file `log` in a run's folder: all messages of the run, even those that are not printed."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the import of torch takes seconds, and `ccompress runs` reads logs without it
    from ccompress.training.trainer import EpochRow

FILE = "log"


def add(folder: Path, lines: Iterable[str]) -> None:
    """Append lines to the log of the run in `folder`; the log keeps earlier attempts at the run."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def last_epoch(folder: Path, since: str) -> tuple[int, int] | None:
    """The last epoch of an attempt at the run in `folder`, and the number of all its epochs.

    Args:
        folder: The run's folder.
        since: The time with which the log begins the attempt.

    Returns:
        None if the attempt finished no epoch, or is not in the log.
    """
    path = folder / FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    attempt = text.rpartition(f"{since}: ")[2]
    epochs = re.findall(r"^epoch (\d+)/(\d+) ", attempt, re.MULTILINE)
    return (int(epochs[-1][0]), int(epochs[-1][1])) if epochs else None


def done(row: Mapping[str, Any]) -> str:
    """The results of a run in one line."""
    test, dev = row["test_accuracy"], row["dev_accuracy"]
    return f"done: test {test:.2f} %, dev {dev:.2f} %, {row['total_seconds']:.1f} s"


def epoch(row: "EpochRow", total: int) -> str:
    """An epoch in one line."""
    return (
        f"epoch {row.epoch}/{total} {row.stage}: loss {row.train_loss:.4f}, "
        f"dev {row.dev_accuracy:.2f} %, lr {row.lr:.2e}, {row.seconds:.2f} s"
    )
