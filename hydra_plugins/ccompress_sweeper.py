"""The sweeper of `ccompress`. Hydra accepts only sweepers that are defined in this package."""

from ccompress.experiment.sweep import Sweep


class RunSweeper(Sweep):
    """See `ccompress.experiment.sweep.Sweep`."""
