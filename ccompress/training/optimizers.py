"""Adam for tables: a step costs what the touched rows cost, not what the table costs.

A dense Adam moves all V x d numbers of the table and of its two moments at every step; with
V = 15,000 that is most of the time of a small network's step. A row that no word of the batch uses
has a gradient of exact zeros, so only its decaying momentum would move it. Here such rows stay as
they are: Adam (Kingma and Ba 2015) applied lazily. `torch.optim.SparseAdam` does that too, in three
times the time; it adds eps before the bias correction, not after it as Adam does, which tells for
gradients near eps.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

# Rows moved at a time: copies of them, of their gradients and of their moments stay in the cache,
# and a batch of long texts does not copy much of the table.
_ROWS = 1024


class RowwiseAdam(torch.optim.Optimizer):
    """Adam over the rows named by a sparse gradient; a row always named moves as under Adam.

    Each gradient must name a row at most once, as `nn.Embedding(sparse=True)` gives when it is
    asked for distinct rows; the moments are only read and written at those rows.

    Args:
        params: Tensors (V, width), their gradients sparse with one sparse dimension.
        rows: Gradients name rows before this one only, and no others have moments; None: any row.
        lr: Learning rate.
        betas: Decay of the first and of the second moment.
        eps: Added to the square root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        rows: int | None = None,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"rows": rows, "lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the rows that the gradients name. `closure` is not supported."""
        if closure is not None:
            raise TypeError("RowwiseAdam.step takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            moments = parameter[: group["rows"]]
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(moments)
            state["exp_avg_sq"] = torch.zeros_like(moments)
        gradient = parameter.grad
        assert gradient is not None
        whole = (parameter, state["exp_avg"], state["exp_avg_sq"])
        named = torch.split(gradient._indices()[0], _ROWS)
        for rows, gradients in zip(named, torch.split(gradient._values(), _ROWS), strict=True):
            values, first, second = (tensor.index_select(0, rows) for tensor in whole)
            adam(
                [values],
                [gradients],
                [first],
                [second],
                [],
                [state["step"].clone()],  # it counts one step on
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=0.0,
                eps=group["eps"],
                maximize=False,
            )
            for tensor, part in zip(whole, (values, first, second), strict=True):
                tensor.index_copy_(0, rows, part)
        state["step"] += 1
