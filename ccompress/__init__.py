"""How far can an embedding table shrink? Online embedding compression, measured.

The library's names, for any torch module of one's own: `compress` puts a compressed embedding into
it and `replace_parameters` tells its optimizer; `LowRankEmbedding` and `QuantizedEmbedding` are
these embeddings, `CALR` the cyclically annealed learning rate.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccompress.embeddings.low_rank import LowRankEmbedding
    from ccompress.embeddings.quantized import QuantizedEmbedding
    from ccompress.library.compression import CompressionReport, compress, replace_parameters
    from ccompress.schedules.scheduler import CALR

__all__ = [
    "CALR",
    "CompressionReport",
    "LowRankEmbedding",
    "QuantizedEmbedding",
    "compress",
    "replace_parameters",
]

# Every one of them needs torch, whose import takes seconds: it waits until a name is used.
_HOMES = {
    "CALR": "schedules.scheduler",
    "CompressionReport": "library.compression",
    "LowRankEmbedding": "embeddings",
    "QuantizedEmbedding": "embeddings",
    "compress": "library.compression",
    "replace_parameters": "library.compression",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
