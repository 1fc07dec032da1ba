"""Compression of an embedding inside any torch module."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Adagrad, Optimizer, SparseAdam

from ccompress.embeddings.base import CompressedEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.library.refusals import compressible, only_embedding
from ccompress.numerics.rates import quantized_bits, rank_of_factors
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
    _replaced: Callable[[], Tensor | None] = field(repr=False)

    @property
    def achieved_reduction(self) -> float:
        """The fraction of the table's bytes that was removed."""
        return 1 - self.bytes_after / self.bytes_before

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: all but the link to the table that was replaced."""
        return {**vars(self), "_replaced": _nothing}

    def __str__(self) -> str:
        size = f"{self.bits} bits a number" if self.rank is None else f"rank {self.rank}"
        return (
            f"{self.name!r} ({self.method}, {size}): {self.bytes_before:,} -> "
            f"{self.bytes_after:,} bytes ({self.achieved_reduction:.1%} removed), "
            f"relative error {self.relative_error:.3g}"
        )


def _nothing() -> None:
    """The replaced table of a report that was copied or stored."""


def compress(
    module: nn.Module,
    rate: float = 0.9,
    method: str = "in_training_svd",
    name: str | None = None,
    worse_than_zeros: bool = False,
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
        worse_than_zeros: whether to accept a compressed table that is farther from the old one,
            in the Frobenius norm, than a table of zeros is, as quantization to 1 bit often is.

    Returns:
        A report: which embedding it was, rank or bits, bytes before and after, relative error.

    Raises:
        InputError: if the rate, the method or the name is wrong; if no bytes would be saved, or
            the result would be worse than zeros; if there is no embedding, or several and no name;
            inside `torch.inference_mode`; and, since a compressed form would not do what it does,
            for an embedding that is an `EmbeddingBag` or another class of its own, is the module
            itself, has max_norm or scale_grad_by_freq, has hooks, a patched `forward` or other
            additions (as by accelerate), lies in a peft layer or in a `DistributedDataParallel`,
            has no plain table of numbers (as on the meta device), or shares its weight with
            another module (tied weights). The module is then as it was.

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
    _refuse_inference_mode()
    name = only_embedding(module) if name is None else name
    embedding = compressible(module, name)
    table = embedding.weight.detach()
    try:
        new = _compressed(embedding, rate, method)
        distance = relative_error(table, new)
        if distance > 1 and not worse_than_zeros:
            raise InputError(
                f"at rate={rate} ({new.extra_repr()}) the new table is farther from the old one "
                f"than zeros are (relative error {distance:.3g}): give a smaller rate, or "
                f"worse_than_zeros=True"
            )
    except InputError as error:
        raise InputError(f"{name!r}: {error}") from error

    for parent in list(module.modules()):
        for child_name, child in list(parent._modules.items()):
            if child is embedding:
                setattr(parent, child_name, new)
    return CompressionReport(
        name=name,
        method=method,
        rank=getattr(new, "rank", None),
        bits=getattr(new, "bits", None),
        bytes_before=table.nbytes,
        bytes_after=sum(tensor.nbytes for tensor in new.state_dict().values()),
        relative_error=distance,
        parameters=dict(new.named_parameters()),
        _replaced=weakref.ref(embedding.weight),
    )


def _compressed(embedding: nn.Embedding, rate: float, method: str) -> CompressedEmbedding:
    """What takes the place of an embedding, with its properties."""
    table, padding_idx = embedding.weight.detach(), embedding.padding_idx
    rows, dim = table.shape
    new: CompressedEmbedding
    if method == "in_training_svd":
        rank = rank_of_factors(rows, dim, rate)
        new = LowRankEmbedding.from_table(table, rank, padding_idx, embedding.sparse)
    else:
        if padding_idx is not None and table[padding_idx].any():
            padding_idx = None  # a QuantizedEmbedding would read it as zeros
        bits = quantized_bits(rows, dim, rate, width=8 * table.element_size())
        new = QuantizedEmbedding.from_table(table, bits, padding_idx)
    return new.requires_grad_(embedding.weight.requires_grad).train(embedding.training)


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
    _refuse_inference_mode()
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


def _refuse_inference_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise InputError(
            "inside torch.inference_mode() nothing can be made that trains later: call this outside"
        )


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
