"""What can be wrong with the place that the agent runs in."""

from edge_agent.contracts.errors import ConfigError, Unavailable


class UnsafeDirectory(ConfigError):
    """A directory for private files is somebody else's, or open to others: choose another."""


class InUse(Unavailable):
    """Another process holds what must have one owner: do not start beside it."""


class EssentialFailed(Exception):
    """A part without which the process is useless has given up, or any part contradicts itself: end the
    process, so that systemd starts it afresh. `part` names it."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(f"{part}: {text}")
        self.part = part
        self.text = text
