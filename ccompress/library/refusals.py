"""Which embeddings of a module can be compressed, and why others cannot.

An error names the embedding's path in the module and is raised before anything changes.
"""

from itertools import chain

import torch
from torch import Tensor, nn

from ccompress.errors import InputError, nearest

# Wrappers that list the parameters once, in their constructor, and so would miss the new ones.
_WRAPPERS = ("torch.nn.parallel.distributed", "torch.distributed.fsdp")
_ADAPTERS = ("peft.",)  # layers that use the weight and the options of the embedding inside them


def only_embedding(module: nn.Module) -> str:
    """The path of the only `nn.Embedding` in a module.

    Raises:
        InputError: There is none, or more than one.
    """
    embeddings: dict[str, nn.Embedding] = {
        path: child for path, child in module.named_modules() if isinstance(child, nn.Embedding)
    }
    if not embeddings:
        bags = [
            path for path, child in module.named_modules() if isinstance(child, nn.EmbeddingBag)
        ]
        hint = f"; {bags[0]!r} is an EmbeddingBag, which is not supported" if bags else ""
        raise InputError(f"the module has no nn.Embedding{hint}")
    if len(embeddings) > 1:
        shown = ", ".join(
            f"{path!r} ({child.num_embeddings} x {child.embedding_dim})"
            for path, child in embeddings.items()
        )
        raise InputError(f"the module has several embeddings: give name=, one of {shown}")
    return next(iter(embeddings))


def compressible(module: nn.Module, name: str) -> nn.Embedding:
    """The embedding at a path, if a compressed form can do everything that it does.

    Raises:
        InputError: There is no such module, or it is more than an embedding with its own table.
    """
    try:
        embedding = module.get_submodule(name)
    except AttributeError:
        known = [
            path
            for path, child in module.named_modules()
            if isinstance(child, nn.Embedding) and path
        ]
        raise InputError(
            f"the module has no submodule {name!r}{nearest(name, known)}; its embeddings are "
            f"{', '.join(known) or 'none'}"
        ) from None
    if type(embedding) is not nn.Embedding:
        kind = type(embedding)
        raise InputError(
            f"{name!r} is of class {kind.__module__}.{kind.__qualname__}: only nn.Embedding "
            f"itself can be compressed"
        )
    if embedding is module:
        raise InputError(
            "the module is itself the nn.Embedding and cannot be replaced in place: "
            "use LowRankEmbedding.from_table or QuantizedEmbedding.from_table"
        )
    _refuse_options(embedding, name)
    _refuse_weight(embedding, name)
    _refuse_additions(embedding, name)
    _refuse_surroundings(module, embedding, name)
    _refuse_tied(module, embedding, name)
    return embedding


def _refuse_options(embedding: nn.Embedding, name: str) -> None:
    if embedding.max_norm is not None or embedding.scale_grad_by_freq:
        option = "scale_grad_by_freq" if embedding.max_norm is None else "max_norm"
        raise InputError(f"{name!r} has {option}={getattr(embedding, option)}: not supported")


def _refuse_weight(embedding: nn.Embedding, name: str) -> None:
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


def _refuse_additions(embedding: nn.Embedding, name: str) -> None:
    """Refuse an embedding with later additions, which its compressed form would lose."""
    weight, attributes = embedding.weight, vars(embedding)
    hooks = [key for key, value in attributes.items() if "_hook" in key and value]
    methods = [
        key
        for key, value in attributes.items()
        if callable(inherited := getattr(nn.Embedding, key, None))
        # After its hooks are removed, accelerate leaves the class's own method as an attribute.
        and getattr(value, "__func__", None) is not inherited
    ]
    parts = chain(embedding._parameters, embedding._buffers, embedding._modules)
    added = [*hooks, *methods, *(key for key in parts if key != "weight")]
    if weight._backward_hooks or weight._post_accumulate_grad_hooks:
        added.append("hooks of its weight")
    if added:
        accelerate = "_hf_hook" in added
        how = "accelerate.hooks.remove_hook_from_module" if accelerate else "remove it"
        raise InputError(
            f"{name!r} has additions to an nn.Embedding that a compressed form would lose "
            f"({', '.join(added)}): {how} first"
        )


def _refuse_surroundings(module: nn.Module, embedding: nn.Embedding, name: str) -> None:
    """Refuse an embedding in a wrapper or an adapter that would keep using the old embedding."""
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


def _refuse_tied(module: nn.Module, embedding: nn.Embedding, name: str) -> None:
    """Refuse a table that another module also uses."""
    address = _address(embedding.weight)
    for other, tensor in chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers()
    ):
        owner = module.get_submodule(other.rpartition(".")[0])
        if owner is not embedding and _address(tensor) == address:
            raise InputError(f"{name!r} shares its weight with {other!r} (tied): untie them first")


def _address(tensor: Tensor) -> int | None:
    """The address of a plain tensor's memory; None for others, such as sparse tensors."""
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if plain else None
