"""Compress embeddings inside any torch module."""

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ccompress.embeddings.base import MARKS, CompressedEmbedding
from ccompress.errors import InputError
from ccompress.library.methods import METHODS, Counts, Given, check, counted
from ccompress.library.readers import compressed_places, table_of
from ccompress.library.refusals import refuse, refuse_inference_mode
from ccompress.library.registration import adopt
from ccompress.library.tables import Name, Table, chosen, exchange, put
from ccompress.numerics.svd import relative_error


@dataclass(frozen=True)
class CompressionReport:
    """What `compress` did.

    Attributes:
        name: The replaced embedding's path, as in `module.named_modules()`; several paths are
            separated by commas.
        method: The method, as the command line names it.
        rank: The rank of the factors; None without factors, or if several embeddings differ.
        bits: Bits per number; None if not all numbers have as many.
        bytes_before: Bytes of the table E.
        bytes_after: Bytes of the tensors that hold the compressed form, scales included, after
            `ccompress.finish`.
        relative_error: ||E - E'|| / ||E|| in the Frobenius norm, where E' is the table that the
            compressed form represents; for several embeddings the largest.
        parameters: Name in the new embedding -> new parameter (for several embeddings: name in the
            module); empty if the method freezes the table.
        tables: One report for each embedding, if one call compressed several.
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
    tables: tuple["CompressionReport", ...] = ()

    def __iter__(self) -> Iterator["CompressionReport"]:
        """The report of each embedding."""
        return iter(self.tables or (self,))

    @property
    def achieved_reduction(self) -> float:
        """The fraction of the table's bytes that was removed."""
        return 1 - self.bytes_after / self.bytes_before

    def __getstate__(self) -> dict[str, Any]:
        """The state for a copy or a pickle: everything except the link to the replaced table."""
        return {**vars(self), "_replaced": _nothing}

    def __str__(self) -> str:
        if self.tables:
            return "\n".join(map(str, self.tables))
        sizes = (f"rank {self.rank}", f"{self.bits} bits per number")
        shown = [s for s, size in zip(sizes, (self.rank, self.bits), strict=True) if size]
        return (
            f"{self.name!r} ({', '.join([self.method, *shown])}): {self.bytes_before:,} -> "
            f"{self.bytes_after:,} bytes ({self.achieved_reduction:.1%} removed), "
            f"relative error {self.relative_error:.3g}"
        )


def _nothing() -> None:
    """The replaced table of a copied or unpickled report: None."""


def compress(
    module: nn.Module,
    rate: float = 0.9,
    method: str = "in_training_svd",
    name: Name | None = None,
    worse_than_zeros: bool = False,
    counts: Counts | None = None,
) -> CompressionReport:
    """Replace embeddings of a module, in place, by their compressed forms.

    "in_training_svd" inserts a `LowRankEmbedding`, which can be trained further (Acharya et al.
    2019, arXiv 1811.00641). Call `compress` after some training, then `replace_parameters`, and
    continue the training. "in_training_svd_weighted" gives frequent rows more weight.
    "in_training_svd_int8" and "in_training_svd_mixed" train factors, the latter through their
    rounding; `finish` rounds them after the training. "quantization", "row_quantization",
    "codebook_quantization" and "product_quantization" insert a frozen embedding. Call them after
    the training.

    The new embedding keeps the old one's padding_idx, device, dtype, `sparse`,
    `scale_grad_by_freq` and training mode, and its parameters keep `requires_grad`. If the row at
    padding_idx is zero, it is read as exact zeros. Otherwise it is compressed like any other row:
    after quantization nothing marks it as padding, and during training factor B changes it. If
    several modules share the embedding, it is replaced in all of them. An `nn.EmbeddingBag` keeps
    its mode and takes all its arguments.

    Other embeddings and `nn.Linear` layers may share the weight (tied weights). Then all of them
    read the one compressed table, and scores are multiplied by B first. If a `forward` uses the
    embedding's `weight` directly, its next call fails, because the new `weight` has no columns.

    Args:
        module: The network that contains the embeddings.
        rate: p, the fraction of the table's bytes to remove, 0 <= p < 1, computed from the size of
            the table's dtype.
        method: The name of a method of the command line that starts from a trained table.
        name: The embedding's path, as in `module.named_modules()`; a pattern for several, such as
            `"*.word_embeddings"`; or a function of a path and a module that returns whether to
            compress it. It may be omitted if the module has one embedding only.
        worse_than_zeros: Whether to accept a compressed table whose distance from the old table in
            the Frobenius norm is larger than that of a table of zeros. Quantization to 1 bit often
            has such a result.
        counts: How often each row is read, a tensor of shape (V,); or texts as tensors or lists of
            ids. Only for "in_training_svd_weighted" and "in_training_svd_mixed".

    Returns:
        A report with the embedding's path, rank or bits, bytes before and after, and relative
        error.

    Raises:
        InputError: The module stays unchanged in each of these cases. The rate, the method, the
            name or the counts are wrong. No bytes would be saved, or the result would be worse than
            zeros. There is no embedding, or there are several and no name. The call is inside
            `torch.inference_mode`. Or the embedding does something that a compressed form would not
            do: it is of another class, is the module itself, has max_norm, has hooks, a patched
            `forward` or other additions (for example from accelerate), is inside a peft layer or a
            `DistributedDataParallel`, has no plain table of numbers (for example on the meta
            device), or shares its weight with a module of another class.

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
    check(method, counts)
    refuse_inference_mode()
    tables = chosen(module, name)
    for table in tables:
        refuse(module, table)
    if counts is not None and not isinstance(counts, Tensor):
        counts = list(counts)  # an iterator serves all tables
    # All are made before the first is put in place, so that a refusal leaves everything as it was.
    made = [_made(table, rate, method, counts, worse_than_zeros) for table in tables]
    for table, (new, _) in zip(tables, made, strict=True):
        put(module, table, new)
    adopt(module)
    reports = [
        _reported(module, table, method, new, distance)
        for table, (new, distance) in zip(tables, made, strict=True)
    ]
    return reports[0] if len(reports) == 1 else _together(reports)


def _made(
    table: Table, rate: float, method: str, counts: Counts | None, worse_than_zeros: bool
) -> tuple[CompressedEmbedding, float]:
    """The compressed form of a table, and its relative error."""
    weight = table.embedding.weight
    numbers, rows = weight.detach(), len(weight)
    try:
        seen = torch.zeros(0) if counts is None else counted(counts, rows)
        given = Given(numbers, rate, table.embedding.padding_idx, table.embedding.sparse, seen)
        new = METHODS[method](given)
        distance = relative_error(numbers, new)
        if distance > 1 and not worse_than_zeros:
            raise InputError(
                f"at rate={rate} ({new.extra_repr()}) the new table is farther from the old one "
                f"than zeros are (relative error {distance:.3g}): give a smaller rate, or "
                f"worse_than_zeros=True"
            )
    except InputError as error:
        raise InputError(f"{table.name!r}: {error}") from error
    return new.requires_grad_(weight.requires_grad), distance


def _reported(
    module: nn.Module, table: Table, method: str, new: CompressedEmbedding, distance: float
) -> CompressionReport:
    weight, shipped = table.embedding.weight, new.shipped()
    return CompressionReport(
        name=table.name,
        method=method,
        rank=getattr(shipped, "rank", None),
        bits=8 if method == "in_training_svd_int8" else getattr(shipped, "bits", None),
        bytes_before=weight.nbytes,
        bytes_after=sum(
            tensor.nbytes for name, tensor in shipped.state_dict().items() if name not in MARKS
        ),
        relative_error=distance,
        parameters=dict(module.get_submodule(table.name).named_parameters()),
        _replaced=weakref.ref(weight),
    )


def _together(reports: list[CompressionReport]) -> CompressionReport:
    ranks, bits = ({getattr(one, key) for one in reports} for key in ("rank", "bits"))
    return CompressionReport(
        name=", ".join(one.name for one in reports),
        method=reports[0].method,
        rank=ranks.pop() if len(ranks) == 1 else None,
        bits=bits.pop() if len(bits) == 1 else None,
        bytes_before=sum(one.bytes_before for one in reports),
        bytes_after=sum(one.bytes_after for one in reports),
        relative_error=max(one.relative_error for one in reports),
        parameters={
            f"{one.name}.{name}": parameter
            for one in reports
            for name, parameter in one.parameters.items()
        },
        _replaced=_nothing,
        tables=tuple(reports),
    )


def finish(module: nn.Module) -> None:
    """Convert all compressed embeddings of a module, in place, into their final form.

    It rounds and freezes the factors of "in_training_svd_int8" and "in_training_svd_mixed". Call it
    after the training. Other embeddings stay unchanged.

    Args:
        module: A network with embeddings that `compress` made.

    Raises:
        InputError: There are none, or a factor holds NaN or infinity.
    """
    places = dict(compressed_places(module))
    if not places:
        raise InputError("the module has no compressed embedding: call ccompress.compress first")
    finished = []
    for path, place in places.items():
        table = table_of(place)
        assert table is not None
        try:
            finished.append((table, table.shipped()))
        except InputError as error:
            raise InputError(f"{path!r}: {error}") from error
    for table, shipped in finished:
        if shipped is not table:
            exchange(module, table, shipped)
    adopt(module)
