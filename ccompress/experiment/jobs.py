"""The runs of a sweep: the combinations of its options, and the order of its runs."""

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

# The overrides of one run, each in the form KEY=VALUE.
Combination = tuple[str, ...]

# Every line about a run shows these options.
_ALWAYS_SHOWN = ("dataset", "network", "method", "rate", "schedule", "seed")


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: The overrides from which Hydra composes the run.
        settings: The settings of the run.
        swept: The run's values of the swept options that are not in every line anyway.
    """

    overrides: list[str]
    settings: Settings
    swept: str


@dataclass(frozen=True)
class Runs:
    """The runs of a sweep, or of one round of it.

    Attributes:
        jobs: The distinct runs, in the order of their options.
        ids: Combination of options -> run id; several combinations may be one run.
        lacking: The missing files because of which the other runs have no id.
    """

    jobs: list[Job]
    ids: dict[Combination, str]
    lacking: list[MissingData]


class Grid:
    """Every combination of the swept options.

    Args:
        params: The swept options of an experiment's file; `arguments` replace them.
        arguments: The overrides of the command line.
        loader: Hydra's loader of configurations.
        config: The whole configuration, including Hydra's node.
    """

    def __init__(
        self, params: Mapping[str, Any], arguments: Sequence[str], loader: Any, config: DictConfig
    ) -> None:
        self._loader, self._config = loader, config
        self._parser = OverridesParser.create(config_loader=loader)
        overrides = _parsed(self._parser, params) + self._parser.parse_overrides(list(arguments))
        swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
        self._shown = tuple(f"{key}=" for key in swept if key not in _ALWAYS_SHOWN)
        self._names_threads = any(override.key_or_group == "threads" for override in overrides)
        self.combinations: list[Combination] = list(itertools.product(*_choices(overrides)))

    def runs(self, combinations: Iterable[Combination], threads: int) -> Runs:
        """Compose the runs of some of the combinations.

        Args:
            combinations: Some of the attribute `combinations`.
            threads: The number of CPU threads of each run, if no override sets it.

        Raises:
            InputError: A combination is not a run.
            HydraException: A combination cannot be composed.
        """
        # Rates and seeds make up most of a sweep and choose no file, so that one composition serves
        # all of them.
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
    """Refuse a single run of an experiment if the command line leaves swept options open.

    Args:
        params: The swept options of the experiment.
        arguments: The overrides of the command line.

    Raises:
        InputError: One of `params` is not in `arguments`.
    """
    parser = OverridesParser.create()
    overridden = {override.key_or_group for override in parser.parse_overrides(list(arguments))}
    missing = [each for each in _parsed(parser, params) if each.key_or_group not in overridden]
    if missing:
        names = ", ".join(override.key_or_group for override in missing)
        runs = prod(len(texts) for texts in _choices(missing))
        raise InputError(
            f"the experiment sweeps {runs} combinations: add -m, or give one value each of {names}"
        )


def _parsed(parser: OverridesParser, params: Mapping[str, Any]) -> list[Override]:
    return parser.parse_overrides([f"{key}={value}" for key, value in params.items()])


def _choices(overrides: Sequence[Override]) -> list[list[str]]:
    """For each option, an override per value; a later override of an option replaces an earlier."""
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
    """Raise one error that names all missing data of these runs.

    Args:
        jobs: Runs whose data sets are checked.
        lacking: Missing data that are known already.
    """
    missing = list(lacking)
    for job in jobs:
        try:
            job.settings.dataset.require(job.settings.root)
        except MissingData as error:
            missing.append(error)
    if missing:
        raise functools.reduce(operator.add, missing)


def ordered(jobs: Sequence[Job]) -> list[Job]:
    """Sort runs so that runs with a shared training are together, and none waits for a later one.

    Of these runs, the one with the shortest shared part is first. Then come those that share
    nothing, so that other processes have work while it trains. The others follow, with shorter
    shared parts first.
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
