"""Which runs a sweep consists of: the combinations of its options, and the order of its runs."""

import functools
import itertools
import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from ccompress.config.composition import settings_of
from ccompress.config.settings import Settings, digest
from ccompress.errors import InputError, MissingData

# The overrides of one run, KEY=VALUE each.
Combination = tuple[str, ...]

# What a line about a run says in any case.
_ALWAYS_SAID = ("dataset", "network", "method", "rate", "schedule", "seed")


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: What Hydra composes it from.
        settings: Its settings.
        swept: Its values of the swept options that no line about a run says in any case.
    """

    overrides: list[str]
    settings: Settings
    swept: str


@dataclass(frozen=True)
class Runs:
    """The runs of a sweep, or of one round of it.

    Attributes:
        jobs: The distinct runs, in the order of their options.
        ids: The run id of each combination of options; several may be one run.
        lacking: What kept the other runs from being composed: files that an id is made of.
    """

    jobs: list[Job]
    ids: dict[Combination, str]
    lacking: list[MissingData]


class Grid:
    """Every combination of the swept options.

    Args:
        params: Swept options of an experiment's file; those of `arguments` replace them.
        arguments: The overrides of the command line.
        loader: Hydra's loader of configurations.
        config: The whole configuration, Hydra's node included.
    """

    def __init__(
        self, params: Mapping[str, Any], arguments: Sequence[str], loader: Any, config: DictConfig
    ) -> None:
        self._loader, self._config = loader, config
        self._parser = OverridesParser.create(config_loader=loader)
        overrides = _parsed(self._parser, params) + self._parser.parse_overrides(list(arguments))
        swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
        self._shown = tuple(f"{key}=" for key in swept if key not in _ALWAYS_SAID)
        self._names_threads = any(override.key_or_group == "threads" for override in overrides)
        self.combinations: list[Combination] = list(itertools.product(*_choices(overrides)))

    def runs(self, combinations: Iterable[Combination], threads: int) -> Runs:
        """Compose the runs of some of the combinations.

        Args:
            combinations: Of `combinations`.
            threads: CPU threads of each run, where none of the overrides names them.

        Raises:
            InputError: A combination is not a run.
            HydraException: A combination cannot be composed.
        """
        # Rates and seeds are most of a sweep, and choose no file: to compose once serves them all.
        composed: dict[Combination, DictConfig] = {}
        jobs: dict[str, Job] = {}
        ids: dict[Combination, str] = {}
        lacking: list[MissingData] = []
        for combination in combinations:
            chosen = [*combination] + [f"threads={threads}"] * (not self._names_threads)
            values = [text for text in chosen if text.startswith(("rate=", "seed="))]
            rest = tuple(text for text in chosen if text not in values)
            if rest not in composed:
                composed[rest] = self._loader.load_sweep_config(self._config, list(rest))
            run = composed[rest].copy()
            for override in self._parser.parse_overrides(values):
                run[override.key_or_group] = override.value()
            shown = " ".join(text for text in chosen if text.lstrip("+").startswith(self._shown))
            try:
                settings = settings_of(run)
            except MissingData as error:
                lacking.append(error)
            else:
                ids[combination] = settings.run_id
                jobs.setdefault(settings.run_id, Job(chosen, settings, shown))
        return Runs(list(jobs.values()), ids, lacking)


def refuse_one_of_many(params: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuse a single run of an experiment that sweeps options which the command line leaves open.

    Args:
        params: The swept options of the experiment.
        arguments: The overrides of the command line.

    Raises:
        InputError: One of `params` is not among the `arguments`.
    """
    parser = OverridesParser.create()
    given = {override.key_or_group for override in parser.parse_overrides(list(arguments))}
    left = [each for each in _parsed(parser, params) if each.key_or_group not in given]
    if left:
        names = ", ".join(override.key_or_group for override in left)
        runs = prod(len(texts) for texts in _choices(left))
        raise InputError(
            f"the experiment sweeps {runs} combinations: add -m, or give one value each of {names}"
        )


def _parsed(parser: OverridesParser, params: Mapping[str, Any]) -> list[Override]:
    return parser.parse_overrides([f"{key}={value}" for key, value in params.items()])


def _choices(overrides: Sequence[Override]) -> list[list[str]]:
    """The override of each value of each option; a later override of an option replaces earlier."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={text}" for text in override.sweep_string_iterator()]
        else:
            raise InputError(
                f"{override.input_line}: a sweep takes single values, such as {key}=0,1,2 or "
                f"{key}=range(0,3)"
            )
    return list(choices.values())


def refuse_missing_data(jobs: Iterable[Job], lacking: Iterable[MissingData]) -> None:
    """Say at once what these runs would miss, and what others lack already."""
    missing = list(lacking)
    for job in jobs:
        try:
            job.settings.dataset.require(job.settings.root)
        except MissingData as error:
            missing.append(error)
    if missing:
        raise functools.reduce(operator.add, missing)


def ordered(jobs: Sequence[Job]) -> list[Job]:
    """Runs that share a training together, and none before what it goes on from.

    Of such runs the one with the shortest shared part begins; then those that share nothing, so
    that other processes have work while it is trained; then the rest, shorter parts first.
    """
    columns: defaultdict[str, list[tuple[int, int, Job]]] = defaultdict(list)
    for number, job in enumerate(jobs):
        shared = job.settings.method.shared_epochs(job.settings.epochs)
        columns[digest(job.settings.reference_identity)].append((shared, number, job))
    in_order: list[Job] = []
    for column in columns.values():
        sharing = sorted(entry[:2] for entry in column if entry[0])
        by_number = {number: job for _, number, job in column}
        alone = [number for shared, number, _ in column if not shared]
        numbers = [number for _, number in sharing]
        in_order += [by_number[number] for number in numbers[:1] + alone + numbers[1:]]
    return in_order
