"""The parameters of a compressed embedding in an optimizer that trained the table before."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Adagrad, Optimizer, SparseAdam

from ccompress.errors import InputError
from ccompress.library.compression import CompressionReport
from ccompress.library.refusals import refuse_inference_mode


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
    refuse_inference_mode()
    if isinstance(optimizer, LBFGS):
        raise InputError("LBFGS cannot change its parameters: make a new LBFGS instead")
    places = [_place(optimizer, one, dense) for one in report]
    for one, place in zip(report, places, strict=True):
        if place is not None:
            _put(optimizer, *place, one, dense)


def _place(
    optimizer: Optimizer, report: CompressionReport, dense: Optimizer | None
) -> tuple[dict[str, Any], Tensor] | None:
    """The parameter group of the replaced table, and that table; None if nothing is to be done."""
    old = report._replaced()
    groups = [
        group
        for group in optimizer.param_groups
        if any(parameter is old for parameter in group["params"])
    ]
    if not groups or old is None:
        if any(parameter.requires_grad for parameter in report.parameters.values()):
            raise InputError(
                f"the optimizer does not hold the table of {report.name!r}: give the optimizer "
                "that trained it, and call this once"
            )
        return None
    if report.parameters and isinstance(optimizer, SparseAdam) and dense is None:
        raise InputError(
            f"SparseAdam cannot train B of {report.name!r}, whose gradient is dense: give an "
            "optimizer for B as dense="
        )
    return groups[0], old


def _put(
    optimizer: Optimizer,
    group: dict[str, Any],
    old: Tensor,
    report: CompressionReport,
    dense: Optimizer | None,
) -> None:
    new = dict(report.parameters)
    if dense is not None and isinstance(optimizer, SparseAdam):
        joined, of_A = dense.param_groups[0], {n for n in new if n.rpartition(".")[2] == "A"}
        others = {name: new.pop(name) for name in list(new) if name not in of_A}
        _insert(dense, joined, slice(len(joined["params"]), None), others, report.name)
    [place] = [i for i, parameter in enumerate(group["params"]) if parameter is old]
    optimizer.state.pop(old, None)
    _insert(optimizer, group, slice(place, place + 1), new, report.name)


def _insert(
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
