"""The epoch that is kept: the best on dev."""

from collections.abc import Iterable

from torch import Tensor


class BestEpoch:
    """A copy of the parameters after the epoch of the highest dev accuracy, the first in a tie.

    Attributes:
        accuracy: The accuracy of that epoch in percent; -1 before there is one.
        tensors: The copies, by name.
    """

    def __init__(self) -> None:
        self.accuracy = -1.0
        self.tensors: dict[str, Tensor] = {}

    def offer(self, accuracy: float, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy the named tensors over those of an earlier epoch, if `accuracy` is higher."""
        if accuracy <= self.accuracy:
            return
        self.accuracy = accuracy
        for name, tensor in tensors:
            if name in self.tensors:
                self.tensors[name].copy_(tensor)
            else:
                self.tensors[name] = tensor.clone()

    def restore(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Give the named tensors, in place, the values of the best epoch."""
        for name, tensor in tensors:
            tensor.copy_(self.tensors[name])
