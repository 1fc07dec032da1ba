import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import CyclicLR

from ccompress.errors import InputError
from ccompress.schedules.functions import CALRSchedule, CLRSchedule, FixedSchedule, calr
from ccompress.schedules.scheduler import CALR

rates = st.floats(1e-6, 1e-2)
ratios = st.floats(1.01, 1e4)
decays = st.floats(0.05, 0.95)
half_cycles = st.integers(1, 50)


def optimizer_of(groups=1):
    params = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    return SGD(params, lr=123.0)


def walk(scheduler, steps):
    """The learning rates of all parameter groups in each step."""
    rates_of_steps = []
    for _ in range(steps):
        rates_of_steps.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return rates_of_steps


def test_the_fixed_schedule_is_constant():
    assert {FixedSchedule(upper=0.3).learning_rate(step, 7) for step in range(99)} == {0.3}


@pytest.mark.parametrize(("step_size", "steps_per_epoch"), [(1, 7), (0.5, 9), (2.5, 4), (0.01, 5)])
def test_clr_is_torch_cyclic_lr_step_by_step(step_size, steps_per_epoch):
    schedule = CLRSchedule(lower=1e-4, upper=3e-2, step_size=step_size)
    half_cycle = max(1, round(step_size * steps_per_epoch))
    torch_clr = CyclicLR(
        optimizer_of(), 1e-4, 3e-2, step_size_up=half_cycle, mode="triangular", cycle_momentum=False
    )
    ours = [schedule.learning_rate(step, steps_per_epoch) for step in range(100)]
    assert ours == pytest.approx([lr for [lr] in walk(torch_clr, 100)], rel=1e-9)


def test_calr_has_the_expected_rates():
    schedule = CALRSchedule(lower=0.1, upper=1.6, step_size=1, decay=0.5)
    rates_of_steps = [schedule.learning_rate(step, 2) for step in range(20)]
    # After the peaks 1.6, 0.8, 0.4 and 0.2, the next would be the floor of 0.1, so it is 1.6 again.
    peaks = [1.6, 0.8, 0.4, 0.2, 1.6]
    expected = [rate for peak in peaks for rate in (0.1, (0.1 + peak) / 2, peak, (0.1 + peak) / 2)]
    assert rates_of_steps == pytest.approx(expected)


@given(rates, ratios, decays, half_cycles, st.integers(0, 200))
def test_calr_peaks_anneal_and_are_pumped_back_up(lower, ratio, decay, half_cycle, first):
    upper = lower * ratio
    peaks = [
        calr((2 * cycle + 1) * half_cycle, lower, upper, half_cycle, decay)
        for cycle in range(first, first + 3)
    ]
    for peak, following in pairwise(peaks):
        annealed = peak * decay
        if annealed > lower * (1 + 1e-6):
            assert following == pytest.approx(annealed)
        elif annealed < lower * (1 - 1e-6):
            assert following == pytest.approx(upper)


@given(rates, ratios, decays, half_cycles, st.integers(0, 10_000))
def test_calr_stays_between_its_bounds(lower, ratio, decay, half_cycle, step):
    upper = lower * ratio
    rate = calr(step, lower, upper, half_cycle, decay)
    assert lower * (1 - 1e-9) <= rate <= upper * (1 + 1e-9)
    if step % (2 * half_cycle) == 0:
        assert rate == pytest.approx(lower)


def test_a_whole_number_of_cycles_is_not_rounded_up():
    # log(0.008) / log(0.2) is 3.0000000000000004 in floating point
    peaks = [calr(2 * cycle + 1, 0.008, 1.0, 1, 0.2) for cycle in range(4)]
    assert peaks == pytest.approx([1.0, 0.2, 0.04, 1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": 0.0}, "0 < lower < upper"),
        ({"lower": 2.0}, "0 < lower < upper"),
        ({"upper": float("inf")}, "0 < lower < upper"),
        ({"upper": float("nan")}, "0 < lower < upper"),
        ({"step_size": 0}, "step_size=0"),
        ({"decay": 1.0}, "0 < decay < 1"),
        ({"decay": 0.0}, "0 < decay < 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CALRSchedule(**{"lower": 0.1, "upper": 1.0, "step_size": 1, "decay": 0.5, **options})


def test_a_fixed_rate_of_zero_is_refused():
    with pytest.raises(InputError, match="upper > 0"):
        FixedSchedule(upper=0)


def test_the_torch_scheduler_follows_the_same_formula():
    schedule = CALRSchedule(lower=1e-4, upper=1e-2, step_size=2, decay=0.6)
    scheduler = CALR(optimizer_of(), lower=1e-4, upper=1e-2, step_size=6, decay=0.6)
    ours = [schedule.learning_rate(step, 3) for step in range(200)]
    assert [lr for [lr] in walk(scheduler, 200)] == ours


def test_the_torch_scheduler_sets_each_parameter_group():
    scheduler = CALR(optimizer_of(2), lower=[0.1, 0.01], upper=[1.0, 0.5], step_size=1, decay=0.5)
    assert walk(scheduler, 4) == [[0.1, 0.01], [1.0, 0.5], [0.1, 0.01], [0.5, 0.25]]
    assert scheduler.get_last_lr() == [0.1, 0.01]


def test_the_torch_scheduler_resumes_from_its_state_dict():
    options = {"lower": 0.1, "upper": 1.0, "step_size": 3, "decay": 0.5}
    uninterrupted = CALR(optimizer_of(), **options)
    expected = walk(uninterrupted, 40)
    first = CALR(optimizer_of(), **options)
    walk(first, 17)
    state, optimizer_state = first.state_dict(), first.optimizer.state_dict()
    second = CALR(optimizer_of(), **{**options, "decay": 0.9, "step_size": 99})
    second.optimizer.load_state_dict(optimizer_state)
    second.load_state_dict(state)
    assert walk(second, 23) == expected[17:]
    third = optimizer_of()
    third.load_state_dict(optimizer_state)
    assert walk(CALR(third, **options, last_epoch=16), 23) == expected[17:]


@pytest.mark.parametrize("step_size", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_numbers_of_numpy_and_torch_are_numbers(tmp_path, step_size):
    options = {"lower": 0.125, "upper": 1.0, "step_size": 3, "decay": 0.5}
    floats = {key: np.float32(value) for key, value in options.items()}
    scheduler = CALR(optimizer_of(), **{**floats, "step_size": step_size})
    expected = walk(CALR(optimizer_of(), **options), 40)
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    assert walk(scheduler, 40) == expected
    again = CALR(optimizer_of(), **options)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert walk(again, 40) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": [0.1] * 3}, "lower of CALR has 3 values.* 2 parameter groups"),
        ({"upper": [1.0, 0.05]}, "upper=0.05"),
        ({"step_size": 0}, "step_size=0"),
        ({"step_size": 2.5}, "step_size=2.5"),
        ({"step_size": np.float64(3)}, "step_size=3.0"),
        ({"decay": 1.5}, "decay=1.5"),
    ],
)
def test_bad_options_of_the_torch_scheduler_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CALR(optimizer_of(2), **{"lower": 0.1, "upper": 1.0, "step_size": 1, **options})


def test_bounds_may_be_a_tensor_and_a_later_group_is_refused():
    optimizer = optimizer_of(2)
    scheduler = CALR(optimizer, torch.tensor([0.25, 0.5]), upper=1.0, step_size=1)
    assert scheduler.get_last_lr() == [0.25, 0.5]
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    optimizer.step()
    with pytest.raises(InputError, match="3 parameter groups and CALR was made for 2"):
        scheduler.step()


def test_the_options_import_no_torch():
    script = "import sys, ccompress.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
