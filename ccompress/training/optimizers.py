"""Adam for tables: the cost of a step depends on the rows it touches, not on the table's size.

A dense Adam moves all V x d numbers of the table and of its two moments at each step. With
V = 15,000 that is most of the time of a small network's step. A row whose word is not in the batch
has a gradient of exact zeros, so only its decaying momentum would move it. Here such rows do not
move: Adam (Kingma and Ba 2015) applied lazily. `torch.optim.SparseAdam` does the same but takes
three times as long. It also adds eps before the bias correction, not after it as Adam does, which
matters for gradients near eps.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

# Rows moved at a time on a CPU, so that copies of them, their gradients and their moments stay in
# the cache, and a batch of long texts does not copy much of the table. A GPU moves all rows at
# once: each turn costs a dozen launches, which take longer than the arithmetic.
_ROWS = 1024


class RowwiseAdam(torch.optim.Optimizer):
    """Adam over the rows that a sparse gradient names. A row named at each step moves as in Adam.

    A gradient must name each row at most once, as that of `nn.Embedding(sparse=True)` does when
    only distinct rows are read. The moments are read and written at those rows only.

    Args:
        params: Tensors (V, width), their gradients sparse with one sparse dimension.
        rows: Gradients name only rows before this one, and only those have moments. None: any row.
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
        named, moving = gradient._indices()[0], gradient._values()
        at_once = len(named) if parameter.is_cuda else _ROWS
        parts = (torch.split(named, at_once), torch.split(moving, at_once))
        for rows, gradients in zip(*parts, strict=True):
            values, first, second = (tensor.index_select(0, rows) for tensor in whole)
            adam(
                [values],
                [gradients],
                [first],
                [second],
                [],
                [state["step"].clone()],  # adam counts it up
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


class Optimizers:
    """Adam for each parameter of a network, row by row for tables with sparse gradients.

    There is no weight decay, because it would move every row of a table at each step.

    Args:
        network: The network, on its device.
        train_rows: Gradients of tables name rows before this one only.

    Attributes:
        tables: Names of the parameters with sparse gradients.
    """

    def __init__(self, network: nn.Module, train_rows: int) -> None:
        # As in nn.Embedding, `sparse` is said by the module whose first parameter is the table.
        sparse = {
            next(module.parameters(recurse=False))
            for module in network.modules()
            if getattr(module, "sparse", False)
        }
        self._named = dict(network.named_parameters())
        self.tables = {name for name, parameter in self._named.items() if parameter in sparse}
        dense = [
            p for name, p in self._named.items() if name not in self.tables and p.requires_grad
        ]
        self._optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, fused=True)]
        if self.tables:
            ordered = (self._named[name] for name in sorted(self.tables))
            self._optimizers.append(RowwiseAdam(ordered, rows=train_rows))

    def step(self, rate: float) -> None:
        """Move every parameter by its gradient, at this learning rate."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def state(self) -> dict[str, dict[str, Tensor]]:
        """The state of each parameter, by the parameter's name; of those that have made a step."""
        return {
            name: dict(optimizer.state[parameter])
            for name, parameter in self._named.items()
            for optimizer in self._optimizers
            if parameter in optimizer.state
        }

    def load_state(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Give parameters that have made no step the state that `state` gave, by their names."""
        optimizer_of = {
            parameter: optimizer
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for name, values in state.items():
            parameter = self._named[name]
            for key, value in values.items():
                optimizer_of[parameter].state[parameter][key] = value.to(parameter.device)
