"""Where Hydra finds the sweeper of `ccompress`: it takes sweepers defined in this package alone."""

from ccompress.sweep import Sweep


class RunSweeper(Sweep):
    """See `ccompress.sweep.Sweep`."""
