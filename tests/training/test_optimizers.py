import pytest
import torch
import torch.nn.functional as F

from ccompress.config import settings
from ccompress.training.optimizers import OPTIMIZERS, Rowwise


def steps(optimizer, table, batches):
    for rows in batches:
        optimizer.zero_grad()
        vectors = F.embedding(torch.tensor(rows, device=table.device), table, sparse=True)
        weights = torch.arange(1, 1 + len(rows), device=table.device).unsqueeze(1)
        (vectors.sin() * weights).sum().backward()
        optimizer.step()


def random(rows, width, device, dtype=torch.float32):
    numbers = torch.randn(rows, width, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return numbers.to(device)


def test_rowwise_adam_agrees_with_sparse_adam(device):
    start = random(20, 4, device, torch.float64)
    batches = [[1, 4, 7], [4, 9], [0, 1, 2, 3], [19], [4]] * 5
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    steps(Rowwise(OPTIMIZERS["adam"], [ours], lr=0.05), ours, batches)
    steps(torch.optim.SparseAdam([theirs], lr=0.05), theirs, batches)
    # SparseAdam adds eps before the bias correction, and Adam after it.
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rowwise_optimizers_agree_with_torch_if_every_step_has_every_row(name, device):
    start = torch.ones(4, 3, dtype=torch.float64, device=device)
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    steps(Rowwise(OPTIMIZERS[name], [ours], lr=0.05), ours, [[0, 1, 2, 3]] * 9)
    optimizer = OPTIMIZERS[name].dense([theirs])
    optimizer.param_groups[0]["lr"] = 0.05
    for _ in range(9):
        optimizer.zero_grad()
        (theirs.sin() * torch.arange(1, 5, device=device).unsqueeze(1)).sum().backward()
        optimizer.step()
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_sgd_and_adagrad_agree_with_torch_on_dense_gradients(name, device):
    start = random(10, 3, device, torch.float64)
    batches = [[1, 4, 7], [4, 9], [0, 1, 2, 3], [4]] * 5
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    steps(Rowwise(OPTIMIZERS[name], [ours], lr=0.05), ours, batches)
    optimizer = OPTIMIZERS[name].dense([theirs])
    optimizer.param_groups[0]["lr"] = 0.05
    for rows in batches:
        optimizer.zero_grad()
        weights = torch.arange(1, 1 + len(rows), device=device).unsqueeze(1)
        (theirs[rows].sin() * weights).sum().backward()
        optimizer.step()
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_without_a_gradient_do_not_change(name, device):
    table = random(10, 3, device).requires_grad_()
    before = table.detach().clone()
    steps(Rowwise(OPTIMIZERS[name], [table], lr=0.1), table, [[2, 5], [5]])
    changed = (table.detach() != before).any(1).nonzero().flatten().tolist()
    assert changed == [2, 5]


def test_the_configuration_offers_every_optimizer():
    assert list(OPTIMIZERS) == list(settings.OPTIMIZERS)


def test_the_numbers_do_not_depend_on_how_many_rows_move_at_a_time(monkeypatch, device):
    start = random(40, 16, device)
    tables = []
    for rows in (1, 3, 1024):
        monkeypatch.setattr("ccompress.training.optimizers._ROWS", rows)
        table = start.clone().requires_grad_()
        steps(
            Rowwise(OPTIMIZERS["adam"], [table], lr=0.1),
            table,
            [[1, 4, 7, 9, 30], [4, 9], [0, 7]] * 3,
        )
        tables.append(table.detach())
    assert torch.equal(tables[0], tables[2])
    assert torch.equal(tables[1], tables[2])


def test_only_rows_below_the_limit_have_moments(device):
    batches = [[1, 4, 7], [4, 0], [7]] * 3
    start = random(100, 4, device)
    all_rows, some_rows = (start.clone().requires_grad_() for _ in range(2))
    steps(Rowwise(OPTIMIZERS["adam"], [all_rows], lr=0.1), all_rows, batches)
    optimizer = Rowwise(OPTIMIZERS["adam"], [some_rows], rows=8, lr=0.1)
    steps(optimizer, some_rows, batches)
    assert torch.equal(all_rows, some_rows)
    assert optimizer.state[some_rows]["exp_avg"].shape == (8, 4)
    if device.type == "cpu":  # a GPU that reads past a tensor is lost to its process
        with pytest.raises(IndexError):
            steps(optimizer, some_rows, [[8]])


def test_a_gpu_moves_all_rows_at_once(monkeypatch, device):
    turns = []
    monkeypatch.setattr(
        "ccompress.training.optimizers.adam", lambda values, *_, **__: turns.append(len(values[0]))
    )
    table = random(2000, 2, device).requires_grad_()
    steps(Rowwise(OPTIMIZERS["adam"], [table]), table, [list(range(1500))])
    assert turns == ([1024, 476] if device.type == "cpu" else [1500])


def test_a_closure_is_refused():
    with pytest.raises(TypeError, match="closure"):
        Rowwise(OPTIMIZERS["adam"], [torch.zeros(2, 2, requires_grad=True)]).step(lambda: 0.0)
