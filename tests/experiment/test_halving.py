import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccompress.errors import InputError
from ccompress.experiment import halving

VALUES = [f"lr={value}" for value in (1, 2, 3, 4, 5, 6, 7, 8, 9)]
SEEDS = [f"seed={seed}" for seed in range(5)]
CELLS = ["method=a", "method=b"]
GRID = [(cell, value, seed) for seed in SEEDS for cell in CELLS for value in VALUES]


def run(score, combinations=GRID):
    """All rounds, and the choice of each cell from the scores of the runs."""
    rounds = list(halving.rounds(combinations, "lr", score))
    ran = [combination for each in rounds for combination in each]
    choices = {}
    for cell in CELLS:
        scores = {
            value: [score(c) for seed in SEEDS if (c := (cell, value, seed)) in ran]
            for value in VALUES
        }
        choices[cell] = halving.chosen(scores)
    return rounds, choices


def test_the_better_half_goes_on_until_two_run_on_all_seeds():
    rounds, choices = run(lambda c: {"lr=3": 9, "lr=4": 8, "lr=8": 7, "lr=1": 6}.get(c[1], 0))
    assert [len(each) for each in rounds] == [2 * 9, 2 * 4, 2 * 2 * 3]
    assert {c[2] for c in rounds[0]} == {"seed=0"}
    assert {c[1] for c in rounds[1]} == {"lr=1", "lr=3", "lr=4", "lr=8"}
    assert {c[1:] for c in rounds[2]} == {
        (value, seed) for value in ("lr=3", "lr=4") for seed in SEEDS[2:]
    }
    assert choices == dict.fromkeys(CELLS, "lr=3")


def test_a_choice_rests_on_the_mean_of_all_seeds_run_so_far():
    # lr=9 is better by 1 on the first seed and worse by 3 on the second.
    scores = {"seed=0": {"lr=9": 10, "lr=5": 9}, "seed=1": {"lr=9": 6, "lr=5": 9}}
    _, choices = run(lambda c: scores.get(c[2], scores["seed=1"]).get(c[1], 0))
    assert choices == dict.fromkeys(CELLS, "lr=5")


@given(st.integers(1, 40), st.integers(1, 10))
def test_a_plan_uses_every_seed_once_and_never_gains_candidates(candidates, seeds):
    plan = halving.plan(candidates, seeds)
    assert sum(further for _, further in plan) == seeds
    counts = [count for count, _ in plan]
    assert counts[0] == candidates
    assert all(more >= fewer for more, fewer in itertools.pairwise(counts) if more > 1)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=2, max_size=9))
def test_the_choice_from_all_stored_scores_is_that_of_the_sweep(scores):
    """The sweep gets the scores round by round, and a report reads all of them at once."""
    values = VALUES[: len(scores)]
    table = dict(zip(values, scores, strict=True))
    grid = [(value, seed) for value in values for seed in SEEDS]

    def score(combination):
        value, seed = combination
        return table[value][SEEDS.index(seed)]

    *_, last = halving.rounds(grid, "lr", score)
    finalists = {value for value, _ in last}
    means = {value: sum(table[value]) for value in finalists}
    choice = halving.chosen(table)
    assert choice in finalists
    assert means[choice] == max(means.values())


def test_no_method_is_favoured():
    """Two methods with equal curves and independent noise end equally well on average."""
    noise = random.Random(0)
    curve = {value: -((place - 4) ** 2) / 8 for place, value in enumerate(VALUES)}
    gaps = []
    for _ in range(400):
        scores = {c: curve[c[1]] + noise.gauss(0, 0.5) for c in GRID}
        _, choices = run(scores.__getitem__)
        gaps.append(curve[choices["method=a"]] - curve[choices["method=b"]])
    mean = sum(gaps) / len(gaps)
    error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps)) / len(gaps)
    assert abs(mean) < 3 * error


def test_failed_runs_are_never_kept_and_a_cell_that_cannot_run_ends():
    def score(combination):
        impossible = combination[0] == "method=b" or combination[1] == "lr=9"
        return -math.inf if impossible else int(combination[1][-1])

    rounds, choices = run(score)
    assert [len(each) for each in rounds] == [2 * 9, 4, 2 * 3]
    assert choices["method=a"] == "lr=8"


def test_an_option_that_is_not_swept_is_refused():
    with pytest.raises(InputError, match=r"hydra.sweeper.choose=lr: sweep two values"):
        list(halving.rounds([("seed=0", "lr=1")], "lr", lambda c: 0.0))
