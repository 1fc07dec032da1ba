"""How far can an embedding table shrink? Online embedding compression, measured.

The small model of a run reads raw text::

    small = ccompress.load("results/runs/3f2a6c0d9b1e")  # a run's folder, or its model.safetensors
    for text, prediction in zip(texts, small.predict(texts)):
        print(text, prediction.label, prediction.probability)

`compress` replaces embeddings in any torch module of your own, `replace_parameters` updates the
module's optimizer, and `finish` ends the training. `save` and `restore` (or `restructure` and
`load_state_dict`) store the result. `LowRankEmbedding` and `QuantizedEmbedding` are among the new
embeddings. `CALR` is the cyclically annealed learning rate.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccompress.deployment.model import load
    from ccompress.embeddings.low_rank import LowRankEmbedding
    from ccompress.embeddings.quantized import QuantizedEmbedding
    from ccompress.installation import __version__ as __version__
    from ccompress.library.compression import CompressionReport, compress, finish
    from ccompress.library.files import restore, save
    from ccompress.library.optimizers import replace_parameters
    from ccompress.library.recovery import recover
    from ccompress.library.restructuring import restructure
    from ccompress.library.structure import described
    from ccompress.library.vocabulary import PrunedVocabulary, prune_vocabulary
    from ccompress.schedules.scheduler import CALR

__all__ = [
    "CALR",
    "CompressionReport",
    "LowRankEmbedding",
    "PrunedVocabulary",
    "QuantizedEmbedding",
    "compress",
    "described",
    "finish",
    "load",
    "prune_vocabulary",
    "recover",
    "replace_parameters",
    "restore",
    "restructure",
    "save",
]

# Most of them need torch, whose import takes seconds. So each is imported when it is first used.
_HOMES = {
    "CALR": "schedules.scheduler",
    "CompressionReport": "library.compression",
    "LowRankEmbedding": "embeddings",
    "PrunedVocabulary": "library.vocabulary",
    "QuantizedEmbedding": "embeddings",
    "__version__": "installation",
    "compress": "library.compression",
    "described": "library.structure",
    "finish": "library.compression",
    "load": "deployment.model",
    "prune_vocabulary": "library.vocabulary",
    "recover": "library.recovery",
    "replace_parameters": "library.optimizers",
    "restore": "library.files",
    "restructure": "library.restructuring",
    "save": "library.files",
}


def __dir__() -> list[str]:
    special = (name for name in globals() if name.startswith("__"))
    return sorted({*special, *_HOMES})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
