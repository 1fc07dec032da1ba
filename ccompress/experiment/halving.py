"""Choose an option's value for each cell of a sweep, by successive halving over the seeds.

Every candidate runs on the first seed. The better half by accuracy on dev, averaged over the seeds
run so far, runs on the next seed, and so on. Once two candidates are left, both run on all seeds
that remain, and the better one is chosen. The rule reads dev alone. Every cell, and so every
method, has the same number of runs.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"
(AISTATS 2016), with seeds as the resource.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ccompress.errors import InputError
from ccompress.experiment.jobs import Combination

# The last candidates, which run on every seed.
FINALISTS = 2


def plan(candidates: int, seeds: int) -> list[tuple[int, int]]:
    """The rounds: how many candidates run in each, and on how many further seeds.

    >>> plan(9, 5)
    [(9, 1), (4, 1), (2, 3)]
    """
    rounds = []
    while seeds:
        further = 1 if candidates > FINALISTS else seeds
        rounds.append((candidates, further))
        seeds -= further
        candidates = max(FINALISTS, candidates // 2)
    return rounds


def best(scores: Mapping[str, Sequence[float]], count: int) -> list[str]:
    """The `count` candidates with the highest mean scores, in their original order.

    Of candidates with equal means, the earlier one is kept.

    Args:
        scores: Candidate -> its score on each seed so far.
        count: The number of candidates to keep.
    """
    ranked = sorted(scores, key=lambda name: -sum(scores[name]) / len(scores[name]))
    return [name for name in scores if name in ranked[:count]]


def chosen(scores: Mapping[str, Sequence[float]]) -> str:
    """The candidate that successive halving chooses, from the scores that it reads.

    Args:
        scores: Candidate -> its score on each seed. A candidate that was left out early may lack
            the scores of later seeds.
    """
    remaining, done = list(scores), 0
    for count, further in plan(len(scores), max(map(len, scores.values()))):
        if done:
            remaining = best({name: scores[name][:done] for name in remaining}, count)
        done += further
    return best({name: scores[name][:done] for name in remaining}, 1)[0]


def rounds(
    combinations: Sequence[Combination], option: str, score: Callable[[Combination], float]
) -> Iterator[list[Combination]]:
    """The combinations of a sweep that are run, round by round.

    Args:
        combinations: All combinations of the swept options.
        option: The option whose value is chosen, such as `schedule.upper`.
        score: The score of a combination that an earlier round yielded, minus infinity if its run
            failed.

    Raises:
        InputError: The sweep has fewer than two values of `option`.
    """
    cells: dict[Combination, dict[str, dict[str, Combination]]] = {}
    for combination in combinations:
        cell = tuple(text for text in combination if not _sets(text, option, "seed"))
        value = "".join(text for text in combination if _sets(text, option))
        seed = "".join(text for text in combination if _sets(text, "seed"))
        cells.setdefault(cell, {}).setdefault(value, {})[seed] = combination
    candidates = next(iter(cells.values()))
    if len(candidates) < FINALISTS:
        raise InputError(
            f"hydra.sweeper.choose={option}: sweep two values of it or more, {option}=A,B"
        )
    seeds = list(next(iter(candidates.values())))
    remaining = {cell: list(values) for cell, values in cells.items()}
    done = 0
    for count, further in plan(len(candidates), len(seeds)):
        if done:
            for cell, values in cells.items():
                scores = {
                    name: [score(values[name][seed]) for seed in seeds[:done]]
                    for name in remaining[cell]
                }
                # A run that failed, such as one that diverged, scores minus infinity.
                scores = {name: each for name, each in scores.items() if -math.inf not in each}
                remaining[cell] = best(scores, count)
        next_seeds = seeds[done : done + further]
        yield [
            cells[cell][name][seed]
            for cell in cells
            for name in remaining[cell]
            for seed in next_seeds
        ]
        done += further


def _sets(text: str, *options: str) -> bool:
    """Whether an override sets one of the options."""
    return text.lstrip("+").split("=")[0] in options
