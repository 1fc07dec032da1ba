"""Gives a fresh network the structure of a compressed one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ccompress.embeddings.base import CompressedEmbedding
from ccompress.errors import InputError
from ccompress.library.structure import built, described, read_description
from ccompress.library.tables import Table, can_be_read, put, tables_of


def restructure(
    module: nn.Module, structure: Mapping[str, Tensor] | Mapping[str, Mapping[str, Any]]
) -> None:
    """Give a fresh network, in place, the compressed tables of another network.

    Then `module.load_state_dict` accepts the state of the other network.

    Args:
        module: A network made like the other one before its compression.
        structure: The other network's state dict, or the result of `ccompress.described` for it.

    Raises:
        InputError: The state dict belongs to no compressed network, or the fresh network lacks an
            embedding or has one of another size. The network then stays unchanged.

    Example:
        >>> import torch, ccompress
        >>> def network():
        ...     return torch.nn.Sequential(torch.nn.Embedding(1000, 64), torch.nn.Linear(64, 2))
        >>> small = network()
        >>> _ = ccompress.compress(small, rate=0.9)
        >>> state = small.state_dict()  # usually read from a file
        >>> again = network()
        >>> ccompress.restructure(again, state)
        >>> again.load_state_dict(state)
        <All keys matched successfully>
    """
    tensors = {key: value for key, value in structure.items() if isinstance(value, Tensor)}
    if tensors:
        description = read_description(tensors)
    else:
        description = {p: dict(one) for p, one in structure.items() if isinstance(one, Mapping)}
    present = described(module)
    missing = {path: one for path, one in description.items() if present.get(path) != one}
    new = {path: _fitting(module, path, one) for path, one in missing.items()}
    for table, compressed in new.values():
        put(module, table, compressed)


def _fitting(
    module: nn.Module, path: str, description: Mapping[str, Any]
) -> tuple[Table, CompressedEmbedding]:
    tables = {name: table for table in tables_of(module) for name in table.readers}
    if path not in tables:
        known = ", ".join(map(str, tables_of(module))) or "none"
        raise InputError(f"{path!r} is compressed in what was stored; the embeddings here: {known}")
    table = tables[path]
    for name, reader in table.readers.items():
        if not can_be_read(reader):
            kind = type(reader).__name__
            raise InputError(f"{name!r} is a {kind}, which cannot read the compressed {path!r}")
    new = built(path, description, table.embedding.weight)
    shape, stored = tuple(table.embedding.weight.shape), (new.num_embeddings, new.embedding_dim)
    if shape != stored:
        raise InputError(
            f"{path!r} has {stored[0]} x {stored[1]} numbers in what was stored and "
            f"{shape[0]} x {shape[1]} here: make the network with the sizes that it was stored with"
        )
    return table, new
