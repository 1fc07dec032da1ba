"""A small data set in files of the user, on which a run takes less than a second."""

import random
from pathlib import Path

SIZES = {"train": 120, "dev": 40, "test": 40}


def write(folder: Path, classes: int = 3, words: int = 60) -> list[str]:
    """Write train, dev and test as CSV files, and a file of vectors.

    The class of a text is the class of most of its words, so that there is something to learn.

    Returns:
        The overrides that use these files on the CPU.
    """
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        lines = ["text,label"]
        for _ in range(size):
            label = draw.randrange(classes)
            telling = [f"w{draw.randrange(words // classes) * classes + label}" for _ in range(5)]
            other = [f"w{draw.randrange(words)}" for _ in range(draw.randrange(4))]
            lines.append(f"{' '.join(telling + other)},class {label}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [" ".join([f"w{i}", *(f"{draw.gauss(0, 1):.4f}" for _ in range(16))]) for i in range(50)]
    (folder / "vectors.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [
        "dataset=custom",
        *(f"dataset.{split}={folder / split}.csv" for split in SIZES),
        "vectors=file",
        f"vectors.path={folder / 'vectors.txt'}",
        "network.hidden=8",
        "train.epochs=4",
        "threads=1",
        "device=cpu",
        "reference=skip",  # most tests need only one run
    ]
