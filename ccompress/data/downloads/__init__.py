"""Files from upstream, verified by checksum."""
