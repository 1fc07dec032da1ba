"""The epoch that training keeps: the best one on dev."""

from collections.abc import Iterable

from torch import Tensor


class BestEpoch:
    """A copy of the parameters after the epoch with the highest dev accuracy, the first in a tie.

    Attributes:
        accuracy: The dev accuracy of that epoch in percent; -1 before the first epoch.
        tensors: Name -> copy of the parameter.
    """

    def __init__(self) -> None:
        self.accuracy = -1.0
        self.tensors: dict[str, Tensor] = {}

    def offer(self, accuracy: float, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Keep a copy of the named tensors if `accuracy` is higher than in all earlier epochs."""
        if accuracy <= self.accuracy:
            return
        self.accuracy = accuracy
        for name, tensor in tensors:
            if name in self.tensors:
                self.tensors[name].copy_(tensor)
            else:
                self.tensors[name] = tensor.clone()

    def restore(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Set the named tensors, in place, to their values after the best epoch."""
        for name, tensor in tensors:
            tensor.copy_(self.tensors[name])
