import copy

import pytest
import torch
from embedding_network import Network, train

from ccompress.errors import InputError
from ccompress.library.compression import compress
from ccompress.library.optimizers import replace_parameters
from ccompress.schedules import scheduler as schedulers

OPTIMIZERS = [
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    lambda parameters: torch.optim.Adagrad(parameters, lr=0.01, initial_accumulator_value=0.1),
    lambda parameters: torch.optim.RMSprop(parameters, lr=0.01),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_other_parameters_keep_their_state_and_new_ones_start_fresh(make):
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer)
    old = network.words.weight
    kept = {p: copy.deepcopy(s) for p, s in optimizer.state.items() if p is not old}
    report = compress(network, rate=0.75)
    replace_parameters(optimizer, report)

    [group] = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
    assert old not in optimizer.state
    for parameter, state in kept.items():
        torch.testing.assert_close(dict(optimizer.state[parameter]), dict(state), rtol=0, atol=0)

    # The next step changes the factors as the first step of a fresh optimizer does.
    copied = copy.deepcopy(network)
    train(copied, make(copied.words.parameters()), steps=1)
    train(network, optimizer, steps=1)
    torch.testing.assert_close(network.words.state_dict(), copied.words.state_dict())


def test_new_parameters_join_the_group_of_the_replaced_one():
    network = Network()
    others = [*network.hidden.parameters(), *network.out.parameters()]
    optimizer = torch.optim.Adam(
        [{"params": others}, {"params": network.words.parameters(), "lr": 0.5}], lr=0.1
    )
    scheduler = schedulers.CALR(optimizer, lower=[0.1, 0.01], upper=[0.2, 0.5], step_size=2)
    replace_parameters(optimizer, compress(network, rate=0.75))
    assert optimizer.param_groups[0]["params"] == others
    first, second = optimizer.param_groups[1]["params"]
    assert (first is network.words.A, second is network.words.B) == (True, True)
    train(network, optimizer)
    scheduler.step()  # this would fail if the parameters had a new group


def test_names_of_parameters_are_kept_up_to_date():
    network = Network()
    optimizer = torch.optim.Adam(network.named_parameters())
    replace_parameters(optimizer, compress(network, rate=0.75))
    [group] = optimizer.param_groups
    assert group["param_names"] == [name for name, _ in network.named_parameters()]
    train(network, optimizer)
    fresh = torch.optim.Adam(network.named_parameters())
    fresh.load_state_dict(optimizer.state_dict())


def test_quantization_removes_the_table_from_the_optimizer():
    network = Network()
    optimizer = torch.optim.Adam(network.parameters())
    train(network, optimizer)
    replace_parameters(optimizer, compress(network, method="quantization"))
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [
        id(p) for p in network.parameters()
    ]
    assert len(optimizer.state) == 4
    train(network, optimizer)


def test_sparse_adam_trains_a_and_another_optimizer_b():
    network = Network(sparse=True)
    others = [*network.hidden.parameters(), *network.out.parameters()]
    sparse = torch.optim.SparseAdam(network.words.parameters())
    dense = torch.optim.Adam(others)
    train(network, sparse, dense)
    report = compress(network, rate=0.75)
    with pytest.raises(InputError, match="SparseAdam cannot train B of 'words'"):
        replace_parameters(sparse, report)
    replace_parameters(sparse, report, dense=dense)
    before = copy.deepcopy(network.words)
    train(network, sparse, dense)
    assert network.words.A.grad is None or network.words.A.grad.is_sparse
    assert not torch.equal(network.words.A, before.A)
    assert not torch.equal(network.words.B, before.B)


def test_an_optimizer_that_cannot_take_new_parameters_is_refused():
    network = Network()
    optimizer = torch.optim.LBFGS(network.parameters())
    with pytest.raises(InputError, match="LBFGS"):
        replace_parameters(optimizer, compress(network))


def test_an_optimizer_without_the_table_is_refused_if_parameters_train():
    network = Network()
    optimizer = torch.optim.Adam(network.out.parameters())
    report = compress(network)
    with pytest.raises(InputError, match="does not hold the table of 'words'"):
        replace_parameters(optimizer, report)

    frozen = Network()
    frozen.words.weight.requires_grad_(False)
    optimizer = torch.optim.Adam(p for p in frozen.parameters() if p.requires_grad)
    held = list(optimizer.param_groups[0]["params"])
    replace_parameters(optimizer, compress(frozen))
    assert optimizer.param_groups[0]["params"] == held
