"""How far can an embedding table shrink? Online embedding compression, measured.

The small model of a run reads raw text::

    small = ccompress.load("results/runs/3f2a6c0d9b1e")  # a run's folder, or its model.safetensors
    for text, said in zip(texts, small.predict(texts)):
        print(text, said.label, said.probability)  # said.probabilities tells those of all labels

For any torch module of one's own: `compress` puts a compressed embedding into it and
`replace_parameters` tells its optimizer; `LowRankEmbedding` and `QuantizedEmbedding` are these
embeddings, `CALR` the cyclically annealed learning rate.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccompress.deployment.model import load
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
    "load",
    "replace_parameters",
]

# Every one of them needs torch, whose import takes seconds: it waits until a name is used.
_HOMES = {
    "CALR": "schedules.scheduler",
    "CompressionReport": "library.compression",
    "LowRankEmbedding": "embeddings",
    "QuantizedEmbedding": "embeddings",
    "compress": "library.compression",
    "load": "deployment.model",
    "replace_parameters": "library.compression",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
