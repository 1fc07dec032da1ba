"""Find a class by the dotted path that a configuration or a stored model names.

Dotted paths are part of run ids and of model files, so they outlive a move: an old path keeps
resolving, and a run's identity is written with the first path that its class ever had.
"""

import pkgutil
from typing import Any

# Present module -> the module that its classes were first published in.
_FIRST = {
    "ccompress.data.datasets.books": "ccompress.data.books",
    "ccompress.data.datasets.clinc150": "ccompress.data.clinc150",
    "ccompress.data.datasets.custom": "ccompress.data.custom",
    "ccompress.data.datasets.imdb": "ccompress.data.imdb",
    "ccompress.data.datasets.snips": "ccompress.data.snips",
    "ccompress.data.datasets.sst": "ccompress.data.sst",
    "ccompress.data.datasets.trec": "ccompress.data.trec",
    "ccompress.data.vectors.sources": "ccompress.data.vectors",
    "ccompress.embeddings": "ccompress.codebook_embeddings",
}
_PRESENT = {first: present for present, first in _FIRST.items()}


def locate(path: str) -> Any:
    """Import what a dotted path names, such as `ccompress.networks.DAN`; old paths resolve too.

    Raises:
        ImportError: There is no such module.
        AttributeError: The module has no such name.
    """
    module, _, name = path.rpartition(".")
    return pkgutil.resolve_name(f"{_PRESENT.get(module, module)}:{name}")


def first_path(path: str) -> str:
    """The dotted path by which the identity of a run knows what is at `path` today."""
    module, _, name = path.rpartition(".")
    return f"{_FIRST.get(module, module)}.{name}"
