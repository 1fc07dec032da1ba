"""The vectors of the committed results: `results/vectors` of the source repository."""

from pathlib import Path

NAME = "imdb-glove.300d"
_PLACE = Path("results") / "vectors" / f"{NAME}.txt.gz"


def path() -> Path | None:
    """The file in the clone that this package runs from, else in the one we stand in, else None."""
    working = Path.cwd()
    for folder in (Path(__file__).parents[3], working, *working.parents):
        if (folder / _PLACE).is_file():
            return folder / _PLACE
    return None
