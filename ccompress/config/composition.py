"""Settings that Hydra composes from command-line overrides, without running anything."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from ccompress.config import files
from ccompress.config.settings import Settings, check, check_train, register_resolvers


def settings_from(overrides: Sequence[str]) -> Settings:
    """The checked settings of `ccompress OVERRIDES`.

    Raises:
        InputError: An option is unknown or wrong.
        HydraException: Hydra cannot compose the overrides.
    """
    return settings_of(composed(overrides))


def settings_within(overrides: Sequence[str]) -> Settings:
    """As `settings_from`, while Hydra runs a command: with the folders that the command names.

    Raises:
        InputError: An option is unknown or wrong.
        HydraException: Hydra cannot compose the overrides.
    """
    return settings_of(compose("config", list(overrides), return_hydra_config=True))


def written(key: str, value: str) -> str:
    """An override that gives `key` the text `value`, quoted so that Hydra reads any text."""
    quote = Quote.single if '"' in value else Quote.double
    return f"{key}={QuotedString(value, quote).with_quotes()}"


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration of `ccompress OVERRIDES`, including Hydra's own node."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(files.CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


def settings_of(config: DictConfig) -> Settings:
    """The checked settings of a configuration that still includes Hydra's own node."""
    check_train(config.hydra)
    names = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    without_hydra = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return check(without_hydra, names)
