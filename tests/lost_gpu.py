"""A network that pretends, on any machine, that its process has lost the GPU."""

import os

from ccompress.errors import DeviceLost
from ccompress.networks.dan import DAN

HIDDEN = 9  # only the network with this hidden size does so


class Losing(DAN):
    def forward(self, batch):
        if self.output.in_features == HIDDEN:
            raise DeviceLost("this process can no longer use its GPU: CUDA error", os.getpid())
        return super().forward(batch)
