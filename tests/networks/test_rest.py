"""The bytes of the layers other than the table."""

import pytest
import torch
from torch import nn

from ccompress.networks import rest
from ccompress.networks.dan import DAN


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
@pytest.mark.parametrize("power", [0, 1, 3, 9])
def test_no_weights_take_more_than_is_said(precision, power):
    """The larger the power, the more unequal are the weights, and the shorter is their code."""
    torch.manual_seed(0)
    network = DAN(nn.Embedding(30, 16), 16, 3, hidden=40, layers=2)
    most = rest.most_bytes(network, precision)
    with torch.no_grad():
        for layer in (*network.hidden, network.output):
            size = torch.rand_like(layer.weight) ** power
            layer.weight.copy_(torch.randn_like(size).sign() * size)
    stored = rest.stored_bytes(rest.shipped(network, precision), precision)
    assert stored <= most
    if precision == "float32":
        assert stored == most
    elif power == 1:
        assert stored >= most - 3 * 80 - 0.05 * most, "evenly spread weights take nearly as much"
