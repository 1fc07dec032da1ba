"""The data sets and vectors that the experiments of `conf/experiment` read."""

from collections.abc import Iterator

from hydra import compose, initialize_config_dir

from ccompress.config import files
from ccompress.config.options import build, options_of
from ccompress.config.settings import register_resolvers
from ccompress.data.base import Dataset
from ccompress.data.vectors.sources import Auto, ImdbGlove, Vectors


def reads(experiment: str) -> Iterator[tuple[Dataset, Vectors | Auto | ImdbGlove]]:
    """Each data set of an experiment with the vectors that are chosen for it."""
    register_resolvers()
    with initialize_config_dir(str(files.CONF), version_base="1.3"):
        chosen = f"+experiment={experiment}"
        swept = compose("config", [chosen], return_hydra_config=True).hydra.sweeper.params
        for name in str(swept.dataset).split(","):
            config = compose("config", [chosen, f"dataset={name}"], return_hydra_config=True)
            options = {
                group: options_of(config[group], group, config.hydra.runtime.choices[group])
                for group in ("dataset", "vectors")
            }
            yield build(options["dataset"], "dataset"), build(options["vectors"], "vectors")
