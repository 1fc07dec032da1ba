"""Models without an embedding table, which people would otherwise use on the same data."""
