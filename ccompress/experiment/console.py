"""What a run shows while it trains and when it is done."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ccompress.config.settings import Settings
from ccompress.experiment import results
from ccompress.training.trainer import EpochRow


@contextmanager
def epochs(total: int) -> Iterator[Callable[[EpochRow], None]]:
    """Give a function to call after each epoch: a bar on a terminal, else a line an epoch."""
    terminal = sys.stderr.isatty()
    with tqdm(total=total, unit="epoch", disable=not terminal) as bar:

        def show(row: EpochRow) -> None:
            bar.update(row.epoch - bar.n)
            bar.set_postfix_str(f"loss {row.train_loss:.4f}, dev {row.dev_accuracy:.2f} %")
            if not terminal:
                print(
                    f"epoch {row.epoch}/{total} {row.stage}: loss {row.train_loss:.4f}, "
                    f"dev {row.dev_accuracy:.2f} %, lr {row.lr:.2e}, {row.seconds:.2f} s",
                    flush=True,
                )

        yield show


def show(row: Mapping[str, Any], settings: Settings, note: str) -> None:
    """Print what came out of a run."""
    size = "".join(f", {what} {row[what]}" for what in ("rank", "bits") if row[what])
    print(f"{row['dataset']}, {row['network']}, {row['method']} at rate {row['rate']:g}{size}")
    sizes = ", ".join(f"{row[f'{split}_size']:,} {split}" for split in ("train", "dev", "test"))
    print(f"  data           {sizes}; {row['classes']} classes")
    error = results.sampling_error(row["test_accuracy"], row["test_size"])
    print(
        f"  test accuracy  {row['test_accuracy']:.2f} %, standard error {error:.2f}  "
        f"(dev {row['dev_accuracy']:.2f} %)"
    )
    for what, after in (
        ("embedding", row["embedding_bytes"]),
        # As it is deployed; earlier versions did not record it.
        ("model", row["folded_bytes"] or row["model_bytes"]),
    ):
        before = row[f"{what}_bytes_original"]
        print(
            f"  {what:<13}  {results.size(before)} -> {results.size(after)} "
            f"({100 * (1 - after / before):.1f} % smaller)"
        )
    covered, size_ = row["vocab_with_vector"], row["vocab_size"]
    print(f"  vectors        {row['vectors']}, for {covered} of {size_} rows")
    print(f"  run            {settings.folder}" + (f"  ({note})" if note else ""))
