"""Find a class by the dotted path that a configuration or a stored model names.

Dotted paths are part of run ids and of model files, so they must survive a move of the code. Old
paths therefore keep resolving, and the identity of a run uses the first path that each class had.

A configuration is the user's own and may name any class. A model file may come from someone else,
and importing a module runs its code. So `refuse_untrusted` checks the paths in a file before any of
them is imported.
"""

import pkgutil
from collections.abc import Iterable
from typing import Any

from ccompress.errors import InputError

# Paths that any model file may name: the networks and embeddings that we ship.
_OURS = (
    "ccompress.networks",
    "ccompress.embeddings",
    "ccompress.codebook_embeddings",
    "torch.nn.Embedding",
    "torch.nn.modules.sparse.Embedding",
)

# Present module -> the module in which its classes were first published.
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
    """Import the object at a dotted path, such as `ccompress.networks.DAN`; old paths work too.

    Raises:
        ImportError: There is no such module.
        AttributeError: The module has no such name.
    """
    module, _, name = path.rpartition(".")
    return pkgutil.resolve_name(f"{_PRESENT.get(module, module)}:{name}")


def refuse_untrusted(paths: Iterable[str], trusted: Iterable[str], source: object) -> None:
    """Refuse dotted paths that are neither ours nor trusted, without importing anything.

    Args:
        paths: The dotted paths that a file names.
        trusted: Packages, modules, or the dotted paths of single classes and functions.
        source: The file, for the error message.

    Raises:
        InputError: A path is neither ours nor trusted.
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
    """The present dotted path of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def first_path(path: str) -> str:
    """The dotted path that a run's identity uses for the class whose present path is `path`."""
    module, _, name = path.rpartition(".")
    return f"{_FIRST.get(module, module)}.{name}"
