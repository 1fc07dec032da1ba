"""Descriptions of compressed networks, from which a fresh network gets the same structure.

A description is plain JSON. For the path of each compressed table it names the class of the table
and the arguments of its constructor. The network's own state holds the same, as bytes in a buffer
`structure` beside each compressed table. So a state dict itself says which network it fits.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ccompress import embeddings
from ccompress.embeddings.base import MARKS, CompressedEmbedding
from ccompress.errors import InputError
from ccompress.library.readers import compressed_places, no_weight, table_of

# The path of each compressed table -> its class, and the arguments of the constructor.
Description = dict[str, dict[str, Any]]

_WEIGHT, _KEY = MARKS
_KINDS = {name: getattr(embeddings, name) for name in embeddings.__all__}


def described(module: nn.Module) -> Description:
    """The description of a network's compressed tables, plain JSON, for `restructure`.

    Raises:
        InputError: A table is still in training (see `ccompress.finish`).
    """
    return {path: _described(path, place) for path, place in compressed_places(module)}


def _described(path: str, place: nn.Module) -> dict[str, Any]:
    table = table_of(place)
    assert table is not None
    described = _arguments(table)
    if described is None:
        kind = type(table).__name__
        raise InputError(f"{path!r} is a {kind} in training: call ccompress.finish before")
    return described


def _arguments(table: nn.Module) -> dict[str, Any] | None:
    """The class of a table and its constructor's arguments; None if the table cannot be stored."""
    kind = type(table)
    if _KINDS.get(kind.__name__) is not kind:
        return None
    described: dict[str, Any] = {"kind": kind.__name__}
    for name in inspect.signature(kind).parameters:
        value = getattr(table, name, None)
        if isinstance(value, nn.Module):
            value = _arguments(value)
            if value is None:
                return None
        if name not in ("device", "dtype"):
            described[name] = value
    return described


def mark(place: nn.Module) -> None:
    """Add the description of a compressed table to the state of the module that owns the table.

    Also add `weight`, of shape (V, 0). With it, loading the state into an uncompressed network is
    an error; otherwise that network would silently keep its random table.
    """
    table = table_of(place)
    assert table is not None
    weight = no_weight(table)
    place.register_buffer(_WEIGHT, weight)
    if (description := _arguments(table)) is not None:
        text = json.dumps(description).encode()
        place.register_buffer(_KEY, torch.tensor(list(text), dtype=torch.uint8).to(weight.device))


def read_description(state: Mapping[str, Tensor]) -> Description:
    """The description that a state dict holds.

    Raises:
        InputError: There is no description, or it is damaged.
    """
    description = {}
    for key, tensor in state.items():
        path, _, name = key.rpartition(".")
        if name == _KEY and tensor.dtype == torch.uint8:
            try:
                description[path] = dict(json.loads(bytes(tensor.tolist())))
            except ValueError as error:
                raise InputError(f"{key!r} of the state dict is damaged: {error}") from error
    if not description:
        raise InputError(
            f"the state dict holds no table that ccompress.compress made: no key ends in .{_KEY}"
        )
    return description


def built(path: str, description: Mapping[str, Any], weight: Tensor) -> CompressedEmbedding:
    """A compressed table as described, whose numbers are still to be loaded.

    Args:
        path: The path of the table, for messages.
        description: The class and the constructor's arguments.
        weight: The old weight, which gives dtype, device and `requires_grad`.

    Raises:
        InputError: This version does not know the class or one of its arguments.
    """
    kind = _KINDS.get(description.get("kind", ""))
    if kind is None:
        raise InputError(
            f"{path!r} is stored as {description.get('kind')!r}, which this ccompress does not "
            f"know: update it"
        )
    arguments = {
        name: built(path, value, weight) if isinstance(value, Mapping) else value
        for name, value in description.items()
        if name != "kind"
    }
    try:
        table = kind(**arguments, device=weight.device, dtype=weight.dtype)
    except TypeError as error:
        raise InputError(f"{path!r} cannot be built by this ccompress: {error}") from error
    assert isinstance(table, CompressedEmbedding)
    return table.requires_grad_(weight.requires_grad)
