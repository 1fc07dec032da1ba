"""Compress an embedding inside any torch module."""

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
        name: The replaced embedding's path, as in `module.named_modules()`.
        method: "in_training_svd" or "quantization".
        rank: The rank of the factors; None for quantization.
        bits: Bits per number; None for in_training_svd.
        bytes_before: Bytes of the table E.
        bytes_after: Bytes of the tensors that hold the compressed form, scales included.
        relative_error: ||E - E'|| / ||E|| in the Frobenius norm, where E' is the table that the
            compressed form represents.
        parameters: Name in the new embedding -> new parameter; empty for quantization.
    """

    name: str
    method: str
    rank: int | None
    bits: int | None
    bytes_before: int
    bytes_after: int
    relative_error: float
    parameters: Mapping[str, nn.Parameter] = field(repr=False)
    # A weak reference, so that the report does not keep the uncompressed table in memory.
    _replaced: Callable[[], Tensor | None] = field(repr=False)

    @property
    def achieved_reduction(self) -> float:
        """The fraction of the table's bytes that was removed."""
        return 1 - self.bytes_after / self.bytes_before

    def __getstate__(self) -> dict[str, Any]:
        """The state for a copy or a pickle: everything except the link to the replaced table."""
        return {**vars(self), "_replaced": _nothing}

    def __str__(self) -> str:
        size = f"{self.bits} bits per number" if self.rank is None else f"rank {self.rank}"
        return (
            f"{self.name!r} ({self.method}, {size}): {self.bytes_before:,} -> "
            f"{self.bytes_after:,} bytes ({self.achieved_reduction:.1%} removed), "
            f"relative error {self.relative_error:.3g}"
        )


def _nothing() -> None:
    """The replaced table of a copied or unpickled report: None."""


def compress(
    module: nn.Module,
    rate: float = 0.9,
    method: str = "in_training_svd",
    name: str | None = None,
    worse_than_zeros: bool = False,
) -> CompressionReport:
    """Replace an `nn.Embedding` of a module, in place, by its compressed form.

    "in_training_svd" inserts a `LowRankEmbedding`, which can be trained further (Acharya et al.
    2019, arXiv 1811.00641). Call `compress` after some training, then `replace_parameters`, and
    continue the training. "quantization" inserts a frozen `QuantizedEmbedding`. Call it after the
    training.

    The new embedding keeps the old one's padding_idx, device, dtype, `sparse` and training mode,
    and its parameters keep `requires_grad`. If the row at padding_idx is zero, it is read as exact
    zeros. Otherwise it is compressed like any other row: after quantization nothing marks it as
    padding, and during training factor B changes it. If several modules share the embedding, it is
    replaced in all of them.

    If a `forward` uses the embedding's `weight` directly, for example to tie weights in code, its
    next call fails, because the new embedding has no `weight`.

    Args:
        module: The network that contains the embedding.
        rate: p, the fraction of the table's bytes to remove, 0 <= p < 1. For quantization, the bits
            per number are computed from the size of the table's dtype.
        method: "in_training_svd" or "quantization".
        name: The embedding's path, as in `module.named_modules()`. It may be omitted if the module
            has one embedding only.
        worse_than_zeros: Whether to accept a compressed table whose distance from the old table in
            the Frobenius norm is larger than that of a table of zeros. Quantization to 1 bit often
            has such a result.

    Returns:
        A report with the embedding's path, rank or bits, bytes before and after, and relative
        error.

    Raises:
        InputError: The module stays unchanged in each of these cases. The rate, the method or the
            name is wrong. No bytes would be saved, or the result would be worse than zeros. There
            is no embedding, or there are several and no name. The call is inside
            `torch.inference_mode`. Or the embedding does something that a compressed form would not
            do: it is an `EmbeddingBag` or of another class, is the module itself, has max_norm or
            scale_grad_by_freq, has hooks, a patched `forward` or other additions (for example from
            accelerate), is inside a peft layer or a `DistributedDataParallel`, has no plain table
            of numbers (for example on the meta device), or shares its weight with another module
            (tied weights).

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
            f"method={method!r} is not known here: give {' or '.join(map(repr, METHODS))} (only "
            f"the command `ccompress` has other methods)"
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
    """The compressed form of an embedding, with the embedding's properties."""
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
    """Replace the old table by the new parameters in an existing optimizer.

    The new parameters join the parameter group of the replaced table and use its options. They
    start with a fresh optimizer state. All other parameters keep their state, and learning-rate
    schedulers of the optimizer continue unchanged.

    Args:
        optimizer: The optimizer that holds the replaced table. If there is nothing to train, an
            optimizer without the table is accepted and left unchanged.
        report: The report that `compress` returned.
        dense: A second optimizer. It is needed only if `optimizer` is a `torch.optim.SparseAdam`,
            which can train factor A but not B. B joins its first parameter group.

    Raises:
        InputError: There are parameters to train, but the optimizer does not hold the table, or it
            is a SparseAdam and `dense` is missing. Or the optimizer is an LBFGS.
    """
    _refuse_inference_mode()
    if isinstance(optimizer, LBFGS):
        raise InputError("LBFGS cannot change its parameters: make a new LBFGS instead")
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
                f"the optimizer does not hold the table of {report.name!r}: give the optimizer "
                "that trained it, and call this once"
            )
        return
    if new and isinstance(optimizer, SparseAdam):
        if dense is None:
            raise InputError(
                f"SparseAdam cannot train B of {report.name!r}, whose gradient is dense: give an "
                "optimizer for B as dense="
            )
        joined = dense.param_groups[0]
        _put(dense, joined, slice(len(joined["params"]), None), {"B": new.pop("B")}, report.name)
    [(group, place)] = places
    optimizer.state.pop(group["params"][place], None)
    _put(optimizer, group, slice(place, place + 1), new, report.name)


def _refuse_inference_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise InputError(
            "tensors made inside torch.inference_mode() cannot be trained later: call this outside"
        )


def _put(
    optimizer: Optimizer,
    group: dict[str, Any],
    place: slice,
    parameters: Mapping[str, nn.Parameter],
    embedding: str,
) -> None:
    """Insert parameters at a place of a parameter group."""
    group["params"][place] = parameters.values()
    if "param_names" in group:
        group["param_names"][place] = [f"{embedding}.{name}" for name in parameters]
    # Adagrad alone creates its state in its constructor and not at the first step.
    if parameters and isinstance(optimizer, Adagrad):
        options = {name: group[name] for name in optimizer.defaults}
        optimizer.state.update(Adagrad(parameters.values(), **options).state)
