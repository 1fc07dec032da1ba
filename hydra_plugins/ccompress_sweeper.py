"""Where Hydra finds the sweeper of `ccompress`; it loads sweepers from this package alone."""

from ccompress.sweep import RunSweeper

__all__ = ["RunSweeper"]
