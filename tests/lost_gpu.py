"""A network whose process loses its GPU, as far as a machine without one can tell."""

import os

from ccompress.errors import DeviceLost
from ccompress.networks.dan import DAN

HIDDEN = 9  # of the network that does so


class Losing(DAN):
    def forward(self, batch):
        if self.output.in_features == HIDDEN:
            raise DeviceLost("this process can no longer use its GPU: CUDA error", os.getpid())
        return super().forward(batch)
