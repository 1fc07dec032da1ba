"""Where Hydra finds the sweeper of `ccompress`: it takes sweepers defined in this package alone."""

from ccompress.experiment.sweep import Sweep


class RunSweeper(Sweep):
    """See `ccompress.experiment.sweep.Sweep`."""
