"""The embedding tables of a network, the modules that read them, and their replacement."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ccompress.embeddings.base import CompressedEmbedding
from ccompress.errors import InputError, nearest
from ccompress.library.readers import (
    BagReader,
    EmbeddingReader,
    Reader,
    ScoresReader,
    compressed_places,
    table_of,
)
from ccompress.library.structure import mark

# Chooses embeddings: a path, a pattern of paths, or a predicate of a path and a module.
Name = str | Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Table:
    """One table of a network.

    Attributes:
        name: The path of the first embedding that reads it.
        embedding: That embedding.
        readers: All modules that have it as their weight, by their paths; that embedding is first.
    """

    name: str
    embedding: nn.Embedding | nn.EmbeddingBag
    readers: dict[str, nn.Module]

    def __str__(self) -> str:
        embedding = self.embedding
        return f"{self.name!r} ({embedding.num_embeddings} x {embedding.embedding_dim})"


def tables_of(module: nn.Module) -> list[Table]:
    """All uncompressed tables of a network."""
    readers: dict[int, dict[str, nn.Module]] = {}
    for path, child in module.named_modules():
        weight = child._parameters.get("weight")
        if weight is not None:
            readers.setdefault(id(weight), {})[path] = child
    tables = []
    for group in readers.values():
        # The sort is stable, and puts embeddings before layers of scores.
        ordered = dict(sorted(group.items(), key=lambda item: not _is_embedding(item[1])))
        name, first = next(iter(ordered.items()))
        if _is_embedding(first):
            assert isinstance(first, nn.Embedding | nn.EmbeddingBag)
            tables.append(Table(name, first, ordered))
    return tables


def chosen(module: nn.Module, name: Name | None) -> list[Table]:
    """The tables that a name, a pattern or a predicate chooses; without a name, the only table.

    Raises:
        InputError: No table is chosen, or there are several and no name.
    """
    tables = tables_of(module)
    if name is None:
        if not tables:
            raise InputError("the module has no nn.Embedding and no nn.EmbeddingBag")
        if len(tables) > 1:
            raise InputError(
                f"the module has several embeddings: give name=, one of "
                f"{', '.join(map(str, tables))}, or a pattern of several"
            )
        return tables
    if isinstance(name, str) and not any(sign in name for sign in "*?["):
        return [_named(module, tables, name)]
    fitting = [
        table
        for table in tables
        if any(
            fnmatchcase(path, name) if isinstance(name, str) else name(path, reader)
            for path, reader in table.readers.items()
            if _is_embedding(reader)
        )
    ]
    if not fitting:
        raise InputError(f"name={name!r} fits none of {', '.join(map(str, tables)) or 'nothing'}")
    return fitting


def _named(module: nn.Module, tables: list[Table], name: str) -> Table:
    try:
        submodule = module.get_submodule(name)
    except AttributeError:
        known = [path for table in tables for path in table.readers if path]
        raise InputError(
            f"the module has no submodule {name!r}{nearest(name, known)}; its embeddings are "
            f"{', '.join(table.name for table in tables if table.name) or 'none'}"
        ) from None
    if _is_embedding(submodule):
        for table in tables:
            if any(reader is submodule for reader in table.readers.values()):
                return table
    kind = type(submodule)
    raise InputError(
        f"{name!r} is of class {kind.__module__}.{kind.__qualname__}: only nn.Embedding and "
        f"nn.EmbeddingBag can be compressed"
    )


def scale_of(module: nn.Module) -> float | None:
    """The factor by which a module multiplies the vectors of its table; None if it is unknown.

    It is known for `nn.Embedding`, and for its subclasses ScaledWordEmbedding in transformers,
    which change nothing else.
    """
    kind = type(module)
    if kind is nn.Embedding:
        return 1.0
    scaled = kind.__module__.startswith("transformers.models.")
    if not (scaled and kind.__name__.endswith("ScaledWordEmbedding")):
        return None
    attributes: Any = module
    return float(getattr(attributes, "scalar_embed_scale", attributes.embed_scale))


def can_be_read(module: nn.Module) -> bool:
    """Whether a module that reads a table can read a compressed one."""
    return type(module) in (nn.EmbeddingBag, nn.Linear) or scale_of(module) is not None


def put(module: nn.Module, table: Table, new: CompressedEmbedding) -> None:
    """Replace all modules that read a table by modules that read its compressed form."""
    places = {
        id(reader): _reader(reader, new, owns=reader is table.embedding).train(reader.training)
        for reader in table.readers.values()
    }
    _replace(module, places)
    mark(module.get_submodule(table.name))


def exchange(module: nn.Module, old: CompressedEmbedding, new: CompressedEmbedding) -> None:
    """Let all modules that read the compressed table `old` read `new`."""
    for child in list(module.modules()):
        if isinstance(child, Reader) and child.table is old:
            child.take(new)
    _replace(module, {id(old): new.train(old.training)})
    for _, place in compressed_places(module):
        if table_of(place) is new:
            mark(place)


def _reader(old: nn.Module, new: CompressedEmbedding, owns: bool) -> nn.Module:
    if isinstance(old, nn.EmbeddingBag):
        return BagReader(new, owns, old)
    if isinstance(old, nn.Linear):
        bias = old.bias
        return ScoresReader(new, bias if isinstance(bias, nn.Parameter) else None)
    assert isinstance(old, nn.Embedding)
    scale = scale_of(old)
    assert scale is not None
    if owns and scale == 1 and not old.scale_grad_by_freq:
        return new
    return EmbeddingReader(new, owns, scale, old.scale_grad_by_freq)


def _replace(module: nn.Module, places: dict[int, nn.Module]) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if id(child) in places:
                setattr(parent, name, places[id(child)])


def _is_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.EmbeddingBag)
