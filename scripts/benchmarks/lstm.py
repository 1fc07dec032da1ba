"""The speed of the LSTM's forward and backward, relative to matrix products of the same shapes."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.measuring import Bench, Row, alternate, row, timed
from benchmarks.plain import BATCH_SIZE

LENGTH, DIM, HIDDEN = 19, 300, 150  # mean length in sst2, size of its vectors, units of the LSTM
SHARE = 0.6
PRODUCTS, LAYER = "matrix products", "nn.LSTM, padded"
REPEATS = 20  # calls per measurement


def measure(bench: Bench) -> list[Row]:
    """The speed of the layer and of its products, in 10^9 floating-point operations per second."""
    # A multiply-add counts as 2. Backward computes two products for each product of forward.
    flops = REPEATS * 3 * 2 * LENGTH * BATCH_SIZE * 4 * HIDDEN * (DIM + HIDDEN)
    rows = []
    for device in bench.devices:
        seconds = alternate(
            {
                LAYER: timed(_repeated(_layer(device)), device),
                PRODUCTS: timed(_repeated(_products(device)), device),
            },
            bench.rounds(15),
            warm_up=3,
        )
        rates = {name: [flops / s / 1e9 for s in values] for name, values in seconds.items()}
        products, layer = (sorted(rates[name])[len(rates[name]) // 2] for name in (PRODUCTS, LAYER))
        share = layer / products
        case = f"{LENGTH} words, {BATCH_SIZE} sentences, {DIM} -> {HIDDEN}"
        rows += [
            row(case, device, "forward + backward", name, values, unit="GFLOP/s")
            for name, values in rates.items()
        ]
        rows.append(
            row(
                case,
                device,
                "share of the products' rate",
                LAYER,
                [100 * share],
                unit="%",
                target=f"at least {100 * SHARE:g} %",
                met=share >= SHARE,
            )
        )
    return rows


def _repeated(function: Callable[[], object]) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(REPEATS):
            function()

    return calls


def _layer(device: torch.device) -> Callable[[], object]:
    """Forward and backward of the layer, with the gradients of its input and weights."""
    layer = nn.LSTM(DIM, HIDDEN).to(device)
    words = torch.randn(LENGTH, BATCH_SIZE, DIM, device=device, requires_grad=True)
    upstream = torch.randn(LENGTH, BATCH_SIZE, HIDDEN, device=device)
    tensors = [words, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(words)[0], tensors, upstream)


def _products(device: torch.device) -> Callable[[], object]:
    """Only the matrix products of that forward and backward, with the same shapes."""
    words = torch.randn(LENGTH * BATCH_SIZE, DIM, device=device)
    states = torch.randn(LENGTH, BATCH_SIZE, HIDDEN, device=device)
    gates = torch.randn(LENGTH, BATCH_SIZE, 4 * HIDDEN, device=device)
    inputs = torch.randn(DIM, 4 * HIDDEN, device=device)
    recurrent = torch.randn(HIDDEN, 4 * HIDDEN, device=device)
    flat_gates, flat_states = gates.flatten(0, 1), states.flatten(0, 1)

    def run() -> None:
        words @ inputs
        for state in states:
            state @ recurrent
        for gate in gates:
            gate @ recurrent.T
        flat_gates @ inputs.T
        words.T @ flat_gates
        flat_states.T @ flat_gates

    return run
