"""A small network with an embedding, for tests of `ccompress.compress`."""

import torch
from torch import nn
from torch.nn import functional as F

V, D = 200, 24
METHODS = ("in_training_svd", "quantization")  # tests/library/test_methods.py tests all methods


class Network(nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(V, D, padding_idx=0, **options)
        self.hidden = nn.Linear(D, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, words):
        return self.out(self.hidden(self.words(words).mean(-2)).relu())


WORDS = torch.randint(0, V, (8, 5), generator=torch.Generator().manual_seed(1))


def train(network, *optimizers, steps=3):
    for _ in range(steps):
        F.cross_entropy(network(WORDS), torch.arange(8) % 3).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
