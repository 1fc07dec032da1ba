"""One run from top to bottom, sweeps, results, and the training that runs share."""
