"""Compression of an embedding inside any torch module."""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Adagrad, Optimizer, SparseAdam

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError, nearest
from ccompress.numerics.rates import bits as bits_of
from ccompress.numerics.rates import rank_of_factors
from ccompress.numerics.svd import relative_error

METHODS = ("in_training_svd", "quantization")


@dataclass(frozen=True)
class CompressionReport:
    """What `compress` did.

    Attributes:
        name: the embedding that was replaced, as `module.named_modules()` names it.
        method: "in_training_svd" or "quantization".
        rank: of the factors; None for quantization.
        bits: a number; None for in_training_svd.
        bytes_before: bytes of the table.
        bytes_after: bytes of the tensors that hold its compressed form, scales included.
        relative_error: ||E - E'|| / ||E||, in the Frobenius norm, of the table E' that is now read.
        parameters: the new parameters by their names in the new embedding; none for quantization.
    """

    name: str
    method: str
    rank: int | None
    bits: int | None
    bytes_before: int
    bytes_after: int
    relative_error: float
    parameters: Mapping[str, nn.Parameter] = field(repr=False)
    # weak, so that a report that is kept does not keep the uncompressed table in memory
    _replaced: "weakref.ref[Tensor]" = field(repr=False)

    @property
    def achieved_reduction(self) -> float:
        """The fraction of the table's bytes that was removed."""
        return 1 - self.bytes_after / self.bytes_before

    def __str__(self) -> str:
        size = f"{self.bits} bits a number" if self.rank is None else f"rank {self.rank}"
        return (
            f"{self.name!r} ({self.method}, {size}): {self.bytes_before:,} -> "
            f"{self.bytes_after:,} bytes ({self.achieved_reduction:.1%} removed), "
            f"relative error {self.relative_error:.3g}"
        )


def compress(
    module: nn.Module,
    rate: float = 0.9,
    method: str = "in_training_svd",
    name: str | None = None,
) -> CompressionReport:
    """Replaces an `nn.Embedding` of a module, in place, by its compressed form.

    "in_training_svd" puts a `LowRankEmbedding` in its place, which trains on (Acharya et al. 2019,
    arXiv 1811.00641): call it after some training, `replace_parameters` after it, and go on.
    "quantization" puts a frozen `QuantizedEmbedding` there: call it when training is over.

    The new embedding has the old one's padding_idx, device, dtype, `sparse`, training mode and
    (its parameters) `requires_grad`. A row of zeros at padding_idx is read as exact zeros. One
    that is not zero is compressed like any other: after quantization nothing marks it as padding,
    and factor B, as it trains, moves it. An embedding that several modules share is replaced in
    all of them.

    A `forward` that uses the embedding's `weight` itself, as for weights tied in code, fails at its
    next call, since there is no such table any more.

    Args:
        module: the network; the embedding is somewhere inside it.
        rate: p, the fraction of the table's bytes to remove, 0 <= p < 1; the bits of quantization
            are counted from those of the table's dtype.
        method: "in_training_svd" or "quantization".
        name: which embedding, as `module.named_modules()` names it; it may be left out where there
            is only one.

    Returns:
        A report: which embedding it was, rank or bits, bytes before and after, relative error.

    Raises:
        InputError: if the rate, the method or the name is wrong; if there is no embedding, or
            several and no name; and, since a compressed form would not do what it does, for an
            embedding that is an `EmbeddingBag` or another class of its own, is the module itself,
            has max_norm, scale_grad_by_freq or hooks, or shares its weight with another module
            (tied weights). The module is then as it was.

    Example:
        >>> import torch, ccompress
        >>> network = torch.nn.Sequential(torch.nn.Embedding(1000, 64), torch.nn.Linear(64, 2))
        >>> optimizer = torch.optim.Adam(network.parameters())
        >>> report = ccompress.compress(network, rate=0.9)
        >>> ccompress.replace_parameters(optimizer, report)
        >>> network[0]
        LowRankEmbedding(1000, 64, rank=6)
        >>> report.name, report.bytes_before, report.bytes_after
        ('0', 256000, 25536)
    """
    if method not in METHODS:
        raise InputError(
            f"method={method!r} is not known here: give {' or '.join(map(repr, METHODS))} (other "
            f"methods are those of the command `ccompress`)"
        )
    name = _only_embedding(module) if name is None else name
    embedding = _checked(module, name)

    table, padding_idx = embedding.weight.detach(), embedding.padding_idx
    if table.is_meta:
        raise InputError(f"{name!r} is on the meta device: it has no numbers to compress")
    new: LowRankEmbedding | QuantizedEmbedding
    if method == "in_training_svd":
        rank, bits = rank_of_factors(len(table), table.shape[1], rate), None
        new = LowRankEmbedding.from_table(table, rank, padding_idx, embedding.sparse)
    else:
        rank, bits = None, bits_of(rate, width=8 * table.element_size())
        if bits == 8 * table.element_size():
            raise InputError(f"rate={rate} keeps all {bits} bits of a number: nothing gets smaller")
        if padding_idx is not None and table[padding_idx].any():
            padding_idx = None  # a QuantizedEmbedding would read it as zeros
        new = QuantizedEmbedding.from_table(table, bits, padding_idx)
    new.requires_grad_(embedding.weight.requires_grad).train(embedding.training)

    for parent in list(module.modules()):
        for child_name, child in list(parent._modules.items()):
            if child is embedding:
                setattr(parent, child_name, new)
    return CompressionReport(
        name=name,
        method=method,
        rank=rank,
        bits=bits,
        bytes_before=table.nbytes,
        bytes_after=sum(tensor.nbytes for tensor in new.state_dict().values()),
        relative_error=relative_error(table, new),
        parameters=dict(new.named_parameters()),
        _replaced=weakref.ref(embedding.weight),
    )


def replace_parameters(
    optimizer: Optimizer, report: CompressionReport, dense: Optimizer | None = None
) -> None:
    """Puts the new parameters of a compression into an existing optimizer.

    They take the place of the replaced table, in its parameter group, with its options. Their state
    starts afresh, as if they had just been given to the optimizer; that of all other parameters
    is kept. Learning-rate schedulers of the optimizer go on as they are.

    Args:
        optimizer: the one that holds the replaced table. One that does not is left alone if there
            is nothing to train.
        report: what `compress` returned.
        dense: where the optimizer is a `torch.optim.SparseAdam`, which trains factor A alone,
            another optimizer, whose first parameter group B joins.

    Raises:
        InputError: if there is something to train and the optimizer does not hold the table, or it
            is a SparseAdam and `dense` is not given, or an LBFGS.
    """
    if isinstance(optimizer, LBFGS):
        raise InputError("LBFGS keeps the size of all parameters: make a new one instead")
    old = report._replaced()
    places = [
        (group, place)
        for group in optimizer.param_groups
        for place, parameter in enumerate(group["params"])
        if parameter is old
    ]
    new = dict(report.parameters)
    if not places:
        if any(parameter.requires_grad for parameter in new.values()):
            raise InputError(
                f"the optimizer does not hold the table of {report.name!r}: give the one that "
                "trained it, once"
            )
        return
    if new and isinstance(optimizer, SparseAdam):
        if dense is None:
            raise InputError(
                f"SparseAdam cannot train B of {report.name!r}, whose gradient is dense: give the "
                "optimizer for it as dense="
            )
        joined = dense.param_groups[0]
        _put(dense, joined, slice(len(joined["params"]), None), {"B": new.pop("B")}, report.name)
    [(group, place)] = places
    optimizer.state.pop(group["params"][place], None)
    _put(optimizer, group, slice(place, place + 1), new, report.name)


def _put(
    optimizer: Optimizer,
    group: dict[str, Any],
    place: slice,
    parameters: Mapping[str, nn.Parameter],
    embedding: str,
) -> None:
    """Puts parameters at a place of a parameter group."""
    group["params"][place] = parameters.values()
    if "param_names" in group:
        group["param_names"][place] = [f"{embedding}.{name}" for name in parameters]
    if parameters and isinstance(optimizer, Adagrad):  # alone makes its state when it is made
        options = {name: group[name] for name in optimizer.defaults}
        optimizer.state.update(Adagrad(parameters.values(), **options).state)


def _only_embedding(module: nn.Module) -> str:
    """The name of the only nn.Embedding in a module."""
    found: dict[str, nn.Embedding] = {
        name: child for name, child in module.named_modules() if isinstance(child, nn.Embedding)
    }
    if not found:
        bags = [
            name for name, child in module.named_modules() if isinstance(child, nn.EmbeddingBag)
        ]
        hint = f"; {bags[0]!r} is an EmbeddingBag, which is not supported" if bags else ""
        raise InputError(f"the module has no nn.Embedding{hint}")
    if len(found) > 1:
        shown = ", ".join(
            f"{name!r} ({child.num_embeddings} x {child.embedding_dim})"
            for name, child in found.items()
        )
        raise InputError(f"the module has several embeddings: give name=, one of {shown}")
    return next(iter(found))


def _checked(module: nn.Module, name: str) -> nn.Embedding:
    """The embedding of a name, if a compressed form can take its place without a difference."""
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
    kind = type(embedding).__name__
    if type(embedding) is not nn.Embedding:
        raise InputError(f"{name!r} is of class {kind}: only nn.Embedding itself can be compressed")
    if embedding is module:
        raise InputError(
            "the module is itself the nn.Embedding and cannot be replaced in place: "
            "use LowRankEmbedding.from_table or QuantizedEmbedding.from_table"
        )
    if embedding.max_norm is not None or embedding.scale_grad_by_freq:
        option = "scale_grad_by_freq" if embedding.max_norm is None else "max_norm"
        raise InputError(f"{name!r} has {option}={getattr(embedding, option)}: not supported")
    weight_hooks = embedding.weight._backward_hooks or embedding.weight._post_accumulate_grad_hooks
    if weight_hooks or any(vars(embedding)[key] for key in vars(embedding) if "_hooks" in key):
        raise InputError(f"{name!r} has hooks, which a compressed form would lose: remove them")
    storage = embedding.weight.untyped_storage().data_ptr()
    for other, tensor in chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers()
    ):
        owner = module.get_submodule(other.rpartition(".")[0])
        if owner is not embedding and tensor.untyped_storage().data_ptr() == storage:
            raise InputError(f"{name!r} shares its weight with {other!r} (tied): untie them first")
    return embedding
