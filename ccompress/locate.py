"""Find a class by the dotted path that a configuration or a stored model names.

Dotted paths are part of run ids and of model files, so they outlive a move: an old path keeps
resolving, and a run's identity is written with the first path that its class ever had.

A configuration is the user's own and may name anything. A model file may come from elsewhere, and
to import a module is to run it: what a file names is checked by `refuse_untrusted` beforehand.
"""

import pkgutil
from collections.abc import Iterable
from typing import Any

from ccompress.errors import InputError

# What every model file may name: the networks and embeddings that we ship.
_OURS = (
    "ccompress.networks",
    "ccompress.embeddings",
    "ccompress.codebook_embeddings",
    "torch.nn.Embedding",
    "torch.nn.modules.sparse.Embedding",
)

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


def refuse_untrusted(paths: Iterable[str], trusted: Iterable[str], source: object) -> None:
    """Refuse dotted paths that are neither ours nor trusted; nothing is imported.

    Args:
        paths: What a file names.
        trusted: Packages, modules, or the dotted paths of single classes and functions.
        source: The file, for the error.

    Raises:
        InputError: It names something else.
    """
    allowed = tuple(f"{name}." for name in (*_OURS, *trusted))
    if foreign := [path for path in paths if not f"{path}.".startswith(allowed)]:
        packages = list(dict.fromkeys(path.partition(".")[0] for path in foreign))
        raise InputError(
            f"{source} names code that does not belong to ccompress's networks, embeddings and "
            f"tokenizers: {', '.join(foreign)}; if you trust it, give "
            f"{' '.join(f'--trust {package}' for package in packages)} (in Python trust={packages})"
        )


def path_of(kind: type) -> str:
    """The dotted path at which a class is today."""
    return f"{kind.__module__}.{kind.__qualname__}"


def first_path(path: str) -> str:
    """The dotted path by which the identity of a run knows what is at `path` today."""
    module, _, name = path.rpartition(".")
    return f"{_FIRST.get(module, module)}.{name}"
