"""What can be wrong with the place that the agent runs in."""

from edge_agent.contracts.errors import ConfigError


class UnsafeDirectory(ConfigError):
    """A directory for private files is somebody else's, or open to others: choose another."""


class InUse(ConfigError):
    """Another process holds what must have one owner: do not start beside it."""
