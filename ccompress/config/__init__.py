"""The schema of the configuration and its checks."""
