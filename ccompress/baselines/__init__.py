"""What people would otherwise use on the same data: models without an embedding table."""
