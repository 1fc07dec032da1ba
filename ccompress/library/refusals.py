"""Which embeddings of a module can be compressed, and why others cannot.

An error names the embedding's path in the module and is raised before anything changes.
"""

from itertools import chain

import torch
from torch import Tensor, nn

from ccompress.errors import InputError
from ccompress.library.tables import Table, can_be_read

# Wrappers that list the parameters once, in their constructor, and so would miss the new ones.
_WRAPPERS = ("torch.nn.parallel.distributed", "torch.distributed.fsdp")
_ADAPTERS = ("peft.",)  # layers that use the weight and the options of the embedding inside them


def refuse(module: nn.Module, table: Table) -> None:
    """Refuse a table if its compressed form could not do everything that it does.

    Raises:
        InputError: A module that reads it is more than an embedding or a linear layer.
    """
    if table.embedding is module:
        raise InputError(
            f"the module is itself the nn.{type(module).__name__} and cannot be replaced in place: "
            "use LowRankEmbedding.from_table or QuantizedEmbedding.from_table"
        )
    for name, reader in table.readers.items():
        _refuse_kind(reader, name, table)
    _refuse_weight(table.embedding, table.name)
    for name, reader in table.readers.items():
        if isinstance(reader, nn.Embedding | nn.EmbeddingBag):
            _refuse_options(reader, name, table)
        _refuse_additions(reader, name)
        _refuse_surroundings(module, reader, name)
    _refuse_tied(module, table)


def _refuse_kind(reader: nn.Module, name: str, table: Table) -> None:
    if can_be_read(reader):
        return
    kind = f"{type(reader).__module__}.{type(reader).__qualname__}"
    if name == table.name:
        raise InputError(
            f"{name!r} is of class {kind}: only nn.Embedding and nn.EmbeddingBag themselves can be "
            f"compressed"
        )
    raise InputError(
        f"{table.name!r} shares its weight with {name!r}, which is of class {kind}: only "
        f"nn.Embedding, nn.EmbeddingBag and nn.Linear themselves can share a compressed table"
    )


def _refuse_options(reader: nn.Embedding | nn.EmbeddingBag, name: str, table: Table) -> None:
    if reader.max_norm is not None:
        raise InputError(f"{name!r} has max_norm={reader.max_norm}: not supported")
    for option in ("padding_idx", "sparse"):
        one, other = getattr(table.embedding, option), getattr(reader, option)
        if one != other:
            raise InputError(
                f"{table.name!r} has {option}={one} and {name!r}, which shares its weight, "
                f"{option}={other}: make them equal"
            )


def _refuse_weight(embedding: nn.Embedding | nn.EmbeddingBag, name: str) -> None:
    """Refuse a weight that is not a plain table of numbers."""
    weight = embedding.weight
    if weight.is_meta:
        raise InputError(f"{name!r} is on the meta device: it has no numbers to compress")
    if type(weight) is not nn.Parameter:
        kind = f"{type(weight).__module__}.{type(weight).__qualname__}"
        raise InputError(f"the weight of {name!r} is a {kind}: it must be a plain nn.Parameter")
    if not weight.is_floating_point():
        raise InputError(f"the weight of {name!r} holds {weight.dtype}, not floating-point numbers")
    if weight.dim() != 2 or not weight.numel():
        raise InputError(
            f"the weight of {name!r} has the shape {tuple(weight.shape)}, not that of a table: if "
            f"it is sharded, compress before sharding"
        )


def _refuse_additions(reader: nn.Module, name: str) -> None:
    """Refuse a module with later additions, which its compressed form would lose."""
    kind, weight, attributes = type(reader), reader.weight, vars(reader)
    assert isinstance(weight, Tensor)
    hooks = [key for key, value in attributes.items() if "_hook" in key and value]
    methods = [
        key
        for key, value in attributes.items()
        if callable(inherited := getattr(kind, key, None))
        # After its hooks are removed, accelerate leaves the class's own method as an attribute.
        and getattr(value, "__func__", None) is not inherited
    ]
    parts = chain(reader._parameters, reader._buffers, reader._modules)
    original = {"weight", "bias"} if kind is nn.Linear else {"weight", "embed_scale"}
    added = [*hooks, *methods, *(key for key in parts if key not in original)]
    if weight._backward_hooks or weight._post_accumulate_grad_hooks:
        added.append("hooks of its weight")
    if added:
        accelerate = "_hf_hook" in added
        how = "accelerate.hooks.remove_hook_from_module" if accelerate else "remove it"
        raise InputError(
            f"{name!r} has additions to an nn.{kind.__name__} that a compressed form would lose "
            f"({', '.join(added)}): {how} first"
        )


def _refuse_surroundings(module: nn.Module, embedding: nn.Module, name: str) -> None:
    """Refuse a module in a wrapper or an adapter that would keep using the old module."""
    for path, parent in module.named_modules():
        where = f"{path!r}" if path else "the module"
        kind = type(parent).__name__
        if _is_one_of(parent, _WRAPPERS) and any(child is embedding for child in parent.modules()):
            raise InputError(
                f"{where} is a {kind}, which would not see the new parameters of {name!r}: "
                f"compress first, then wrap"
            )
        if _is_one_of(parent, _ADAPTERS) and any(child is embedding for child in parent.children()):
            raise InputError(
                f"{where} is an adapter ({kind} of peft) of {name!r}: compress before peft adapts "
                f"it, or after merge_and_unload"
            )


def _is_one_of(module: nn.Module, origins: tuple[str, ...]) -> bool:
    """Whether the class of `module`, or a base of it, comes from one of the packages `origins`."""
    return any(kind.__module__.startswith(origins) for kind in type(module).__mro__)


def _refuse_tied(module: nn.Module, table: Table) -> None:
    """Refuse a table that is also used by something other than its known readers."""
    address = _address(table.embedding.weight)
    known = {f"{path}.weight" for path in table.readers}
    owners = {id(reader) for reader in table.readers.values()}
    for other, tensor in chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers()
    ):
        path, _, key = other.rpartition(".")
        if _address(tensor) != address or other in known:
            continue
        if key == "weight" and id(module.get_submodule(path)) in owners:
            continue  # the same module under another name
        if tensor is table.embedding.weight:
            raise InputError(
                f"{table.name!r} shares its weight with {other!r}, which is no module's weight: "
                f"nothing is known of how it is read"
            )
        raise InputError(
            f"{table.name!r} shares the memory of its weight with {other!r} and not the parameter: "
            f"tie them by setting the one weight to the other first"
        )


def _address(tensor: Tensor) -> int | None:
    """The address of a plain tensor's memory; None for others, such as sparse tensors."""
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if plain else None


def refuse_inference_mode() -> None:
    """Refuse to make parameters inside `torch.inference_mode`."""
    if torch.is_inference_mode_enabled():
        raise InputError(
            "tensors made inside torch.inference_mode() cannot be trained later: call this outside"
        )
