"""Optimizers for tables: a step costs what the rows cost that it touches, not what the table does.

A dense Adam moves all V x d numbers of the table and of its two moments at each step. With
V = 15,000 that is most of the time of a small network's step. A row whose word is not in the batch
has a gradient of exact zeros, so only its decaying momentum would move it. Here such rows do not
move: Adam (Kingma and Ba 2015) applied lazily. `torch.optim.SparseAdam` does the same but takes
three times as long. It also adds eps before the bias correction, not after it as Adam does, which
matters for gradients near eps. RMSprop is applied lazily too; SGD and Adagrad would not move such
rows anyway.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

# Rows moved at a time on a CPU, so that copies of them, their gradients and their moments stay in
# the cache, and a batch of long texts does not copy much of the table. A GPU moves all rows at
# once: each turn costs a dozen launches, which take longer than the arithmetic.
_ROWS = 1024


class Rowwise(torch.optim.Optimizer):
    """Moves the rows that a sparse gradient names. A row named at each step moves as in torch.

    A gradient must name each row at most once, as that of `nn.Embedding(sparse=True)` does when
    only distinct rows are read. The moments are read and written at those rows only.

    Args:
        params: Tensors (V, width), their gradients sparse with one sparse dimension.
        rows: Gradients name only rows before this one, and only those have moments. None: any row.
        lr: Learning rate.
        options: The other options of the optimizer in torch.

    Attributes:
        moments: What torch calls the moments, each as large as the table.
    """

    moments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        params: Iterable[Tensor],
        rows: int | None = None,
        lr: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(params, {"rows": rows, "lr": lr, **options})

    @abstractmethod
    def _move(
        self,
        tensors: Sequence[Tensor],
        gradients: Tensor,
        step: Tensor,
        options: Mapping[str, Any],
    ) -> None:
        """Move rows of the table and their moments in place.

        Args:
            tensors: The rows (n, width), then their moments of the same shape.
            gradients: Those of the rows, (n, width).
            step: The number of steps before this one.
            options: The learning rate `lr`, and the other options.
        """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the rows that the gradients name. `closure` is not supported."""
        if closure is not None:
            raise TypeError(f"{type(self).__name__}.step takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            for name in self.moments:
                state[name] = torch.zeros_like(parameter[: group["rows"]])
        gradient = parameter.grad
        assert gradient is not None
        whole = (parameter, *(state[name] for name in self.moments))
        named, moving = gradient._indices()[0], gradient._values()
        at_once = len(named) if parameter.is_cuda else _ROWS
        parts = (torch.split(named, at_once), torch.split(moving, at_once))
        for rows, gradients in zip(*parts, strict=True):
            read = [tensor.index_select(0, rows) for tensor in whole]
            self._move(read, gradients, state["step"], group)
            for tensor, part in zip(whole, read, strict=True):
                tensor.index_copy_(0, rows, part)
        state["step"] += 1


class RowwiseAdam(Rowwise):
    """Adam (Kingma and Ba 2015)."""

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Tensor],
        rows: int | None = None,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, rows, lr, betas=betas, eps=eps)

    def _move(
        self,
        tensors: Sequence[Tensor],
        gradients: Tensor,
        step: Tensor,
        options: Mapping[str, Any],
    ) -> None:
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
            beta1=options["betas"][0],
            beta2=options["betas"][1],
            lr=options["lr"],
            weight_decay=0.0,
            eps=options["eps"],
            maximize=False,
        )


class RowwiseSGD(Rowwise):
    """Stochastic gradient descent without momentum."""

    def _move(
        self,
        tensors: Sequence[Tensor],
        gradients: Tensor,
        step: Tensor,
        options: Mapping[str, Any],
    ) -> None:
        tensors[0].add_(gradients, alpha=-options["lr"])


class RowwiseRMSprop(Rowwise):
    """RMSprop (Hinton, lecture 6e of "Neural Networks for Machine Learning", 2012)."""

    moments = ("square_avg",)

    def __init__(
        self,
        params: Iterable[Tensor],
        rows: int | None = None,
        lr: float = 1e-3,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, rows, lr, alpha=alpha, eps=eps)

    def _move(
        self,
        tensors: Sequence[Tensor],
        gradients: Tensor,
        step: Tensor,
        options: Mapping[str, Any],
    ) -> None:
        values, squares = tensors
        rmsprop(
            [values],
            [gradients],
            [squares],
            [],
            [],
            [torch.zeros(())],  # counted up, and never read
            lr=options["lr"],
            alpha=options["alpha"],
            eps=options["eps"],
            weight_decay=0.0,
            momentum=0.0,
            centered=False,
        )


class RowwiseAdagrad(Rowwise):
    """Adagrad (Duchi, Hazan and Singer 2011)."""

    moments = ("sum",)

    def __init__(
        self,
        params: Iterable[Tensor],
        rows: int | None = None,
        lr: float = 1e-3,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, rows, lr, eps=eps)

    def _move(
        self,
        tensors: Sequence[Tensor],
        gradients: Tensor,
        step: Tensor,
        options: Mapping[str, Any],
    ) -> None:
        values, squares = tensors
        adagrad(
            [values],
            [gradients],
            [squares],
            [torch.zeros(())],  # counted up, and read only where the learning rate decays by it
            lr=options["lr"],
            weight_decay=0.0,
            lr_decay=0.0,
            eps=options["eps"],
            maximize=False,
        )


class _Pair(NamedTuple):
    """One optimizer for dense gradients and for the rows that sparse ones name."""

    dense: Callable[[Sequence[Tensor]], torch.optim.Optimizer]
    rowwise: type[Rowwise]


# `optimizer=NAME`: each as torch sets it, apart from the learning rate.
OPTIMIZERS: Mapping[str, _Pair] = {
    "adam": _Pair(partial(torch.optim.Adam, fused=True), RowwiseAdam),
    "sgd": _Pair(partial(torch.optim.SGD, fused=True), RowwiseSGD),
    "rmsprop": _Pair(torch.optim.RMSprop, RowwiseRMSprop),
    "adagrad": _Pair(torch.optim.Adagrad, RowwiseAdagrad),
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
        optimizer = OPTIMIZERS[name]
        self._optimizers = [optimizer.dense(dense)]
        if self.tables:
            ordered = [self._named[key] for key in sorted(self.tables)]
            self._optimizers.append(optimizer.rowwise(ordered, rows=train_rows))

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
