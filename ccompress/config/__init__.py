"""The configuration: its keys and types, the checks on them, and the identity of a run."""
