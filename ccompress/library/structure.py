"""What `compress` made of a network, as a description, and a fresh network made like it.

A description says, for the path of each compressed table, the class of its form and the arguments
of its constructor; it is plain JSON. The same stands in the network's own state, as a buffer
`structure` of bytes beside each compressed table: so a state dict says by itself what it fits.
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

# The path of each compressed table -> the class of its form and its constructor's arguments.
Description = dict[str, dict[str, Any]]

_WEIGHT, _KEY = MARKS
_KINDS = {name: getattr(embeddings, name) for name in embeddings.__all__}


def described(module: nn.Module) -> Description:
    """Which tables of a network are compressed, and how: plain JSON, for `restructure`.

    Raises:
        InputError: if a table has no form yet that can be stored (see `ccompress.finish`).
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
    """The class and the constructor's arguments of a table; None if it has no stored form."""
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
    """Put what a state dict says of a compressed table into the module that owns it.

    `weight`, of shape (V, 0), makes it an error to load the state into an uncompressed network,
    where the table would otherwise be drawn afresh.
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
        InputError: if it holds none, or one that is damaged.
    """
    found = {}
    for key, tensor in state.items():
        path, _, name = key.rpartition(".")
        if name == _KEY and tensor.dtype == torch.uint8:
            try:
                found[path] = dict(json.loads(bytes(tensor.tolist())))
            except ValueError as error:
                raise InputError(f"{key!r} of the state dict is damaged: {error}") from error
    if not found:
        raise InputError(
            f"the state dict holds no table that ccompress.compress made: no key ends in .{_KEY}"
        )
    return found


def built(path: str, description: Mapping[str, Any], weight: Tensor) -> CompressedEmbedding:
    """A compressed table as described, with a weight's type and device, its numbers to be loaded.

    Raises:
        InputError: if this version knows no such form.
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
