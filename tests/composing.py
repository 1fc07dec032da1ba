"""Settings of a command line, without running it."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from ccompress.config.settings import Settings, register_resolvers
from ccompress.experiment.sweep import settings_of

CONF = Path(__file__).parents[1] / "conf"


def settings(*overrides: str) -> Settings:
    """What `ccompress OVERRIDES` runs, checked."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return settings_of(compose("config", list(overrides), return_hydra_config=True))
