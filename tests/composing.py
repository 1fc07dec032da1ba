"""The configuration and the settings of a command line, without running it."""

from omegaconf import DictConfig

from ccompress.config.composition import composed, settings_from
from ccompress.config.files import CONF, options
from ccompress.config.settings import Settings

__all__ = ["CONF", "config", "options", "settings"]


def config(*overrides: str) -> DictConfig:
    """The configuration of `ccompress OVERRIDES`, as Hydra composes it."""
    return composed(overrides)


def settings(*overrides: str) -> Settings:
    """The checked settings of `ccompress OVERRIDES`."""
    return settings_from(overrides)
