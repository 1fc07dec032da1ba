"""Word vectors that initialise the embedding table."""

from ccompress.data.vectors.sources import (
    Auto,
    Cooccurrence,
    File,
    Glove,
    ImdbGlove,
    Random,
    Vectors,
    WordVectors,
)

__all__ = [
    "Auto",
    "Cooccurrence",
    "File",
    "Glove",
    "ImdbGlove",
    "Random",
    "Vectors",
    "WordVectors",
]
