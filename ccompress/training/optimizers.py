"""Optimizers for tables: a step costs what the rows cost that it touches, not what the table does.

A dense Adam moves all V x d numbers of the table and of its two moments at each step. With
V = 15,000 that is most of the time of a small network's step. A row whose word is not in the batch
has a gradient of exact zeros, so only its decaying momentum would move it. Here such rows do not
move: Adam (Kingma and Ba 2015) applied lazily. `torch.optim.SparseAdam` does the same but takes
three times as long. It also adds eps before the bias correction, not after it as Adam does, which
matters for gradients near eps. RMSprop is applied lazily too; SGD and Adagrad would not move such
rows anyway.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

# Rows moved at a time on a CPU, so that copies of them, their gradients and their moments stay in
# the cache, and a batch of long texts does not copy much of the table. A GPU moves all rows at
# once: each turn costs a dozen launches, which take longer than the arithmetic.
_ROWS = 1024

# Moves rows of a table and their moments in place. Takes the rows (n, width) followed by their
# moments of the same shape, the rows' gradients (n, width), the number of steps before this one,
# and the learning rate. All other values are those that torch sets.
Move = Callable[[Sequence[Tensor], Tensor, Tensor, float], None]


@dataclass(frozen=True)
class Rule:
    """An optimizer, for dense gradients and for the rows that sparse gradients name.

    Attributes:
        dense: Makes the optimizer of torch.
        moments: What torch calls the moments, each as large as the table.
        move: Moves some rows as torch moves a whole parameter.
    """

    dense: Callable[[Sequence[Tensor]], torch.optim.Optimizer]
    moments: tuple[str, ...]
    move: Move


class Rowwise(torch.optim.Optimizer):
    """Moves the rows that a sparse gradient names. A row named at each step moves as in torch.

    A gradient must name each row at most once, as that of `nn.Embedding(sparse=True)` does when
    only distinct rows are read. The moments are read and written at those rows only.

    Args:
        rule: How rows move.
        params: Tensors (V, width), their gradients sparse with one sparse dimension.
        rows: Gradients name only rows before this one, and only those have moments. None: any row.
        lr: Learning rate.
    """

    def __init__(
        self, rule: Rule, params: Iterable[Tensor], rows: int | None = None, lr: float = 1e-3
    ) -> None:
        self._rule = rule
        super().__init__(params, {"rows": rows, "lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the rows that the gradients name. `closure` is not supported."""
        if closure is not None:
            raise TypeError("Rowwise.step takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            for name in self._rule.moments:
                state[name] = torch.zeros_like(parameter[: group["rows"]])
        gradient = parameter.grad
        assert gradient is not None
        whole = (parameter, *(state[name] for name in self._rule.moments))
        named, moving = gradient._indices()[0], gradient._values()
        at_once = len(named) if parameter.is_cuda else _ROWS
        parts = (torch.split(named, at_once), torch.split(moving, at_once))
        for rows, gradients in zip(*parts, strict=True):
            read = [tensor.index_select(0, rows) for tensor in whole]
            self._rule.move(read, gradients, state["step"], group["lr"])
            for tensor, part in zip(whole, read, strict=True):
                tensor.index_copy_(0, rows, part)
        state["step"] += 1


def _adam(tensors: Sequence[Tensor], gradients: Tensor, step: Tensor, lr: float) -> None:
    """Adam (Kingma and Ba 2015)."""
    values, first, second = tensors
    adam(
        [values],
        [gradients],
        [first],
        [second],
        [],
        [step.clone()],  # adam counts it up
        fused=True,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=lr,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )


def _sgd(tensors: Sequence[Tensor], gradients: Tensor, step: Tensor, lr: float) -> None:
    """Stochastic gradient descent without momentum."""
    tensors[0].add_(gradients, alpha=-lr)


def _rmsprop(tensors: Sequence[Tensor], gradients: Tensor, step: Tensor, lr: float) -> None:
    """RMSprop (Hinton, lecture 6e of "Neural Networks for Machine Learning", 2012)."""
    values, squares = tensors
    rmsprop(
        [values],
        [gradients],
        [squares],
        [],
        [],
        [torch.zeros(())],  # counted up, and never read
        lr=lr,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        centered=False,
    )


def _adagrad(tensors: Sequence[Tensor], gradients: Tensor, step: Tensor, lr: float) -> None:
    """Adagrad (Duchi, Hazan and Singer 2011)."""
    values, squares = tensors
    adagrad(
        [values],
        [gradients],
        [squares],
        [torch.zeros(())],  # counted up, and read only where the learning rate decays by it
        lr=lr,
        weight_decay=0.0,
        lr_decay=0.0,
        eps=1e-10,
        maximize=False,
    )


# `optimizer=NAME`: each as torch sets it, apart from the learning rate.
OPTIMIZERS: Mapping[str, Rule] = {
    "adam": Rule(partial(torch.optim.Adam, fused=True), ("exp_avg", "exp_avg_sq"), _adam),
    "sgd": Rule(partial(torch.optim.SGD, fused=True), (), _sgd),
    "rmsprop": Rule(torch.optim.RMSprop, ("square_avg",), _rmsprop),
    "adagrad": Rule(torch.optim.Adagrad, ("sum",), _adagrad),
}


class Optimizers:
    """An optimizer for each parameter of a network, row by row for tables with sparse gradients.

    There is no weight decay, because it would move every row of a table at each step.

    Args:
        name: One of `OPTIMIZERS`.
        network: The network, on its device.
        train_rows: Gradients of tables name rows before this one only.

    Attributes:
        tables: Names of the parameters with sparse gradients.
    """

    def __init__(self, name: str, network: nn.Module, train_rows: int) -> None:
        # As in nn.Embedding, `sparse` is said by the module whose first parameter is the table.
        sparse = {
            next(module.parameters(recurse=False))
            for module in network.modules()
            if getattr(module, "sparse", False)
        }
        self._named = dict(network.named_parameters())
        self.tables = {key for key, parameter in self._named.items() if parameter in sparse}
        others = (p for key, p in self._named.items() if key not in self.tables)
        dense = [parameter for parameter in others if parameter.requires_grad]
        rule = OPTIMIZERS[name]
        self._optimizers = [rule.dense(dense)]
        if self.tables:
            ordered = [self._named[key] for key in sorted(self.tables)]
            self._optimizers.append(Rowwise(rule, ordered, rows=train_rows))

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
