"""The configuration and the settings of a command line, without running it."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from ccompress.config.settings import Settings, register_resolvers
from ccompress.experiment.sweep import settings_of

CONF = Path(__file__).parents[1] / "conf"


def config(*overrides: str) -> DictConfig:
    """The configuration of `ccompress OVERRIDES`, as Hydra composes it."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


def settings(*overrides: str) -> Settings:
    """What `ccompress OVERRIDES` runs, checked."""
    return settings_of(config(*overrides))


def options(group: str) -> list[str]:
    """The names of a group's options."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
