"""What can go wrong between the agent and those who ask it on its own machine."""

from edge_agent.contracts.errors import ConfigError, NotConnected, Unavailable, Unsupported


class WebError(Exception):
    """Root of this room's errors."""


class SocketTaken(WebError, Unavailable):
    """The socket or port cannot be opened, or something else has it: do not start a second agent."""


class BadListenAddress(WebError, ConfigError):
    """The address is not one on the loopback interface: refuse the config."""


class AgentNotRunning(WebError, NotConnected):
    """Nobody answers on the socket, or nobody that this user may ask."""


class RequestRefused(WebError, Unsupported):
    """The agent understood the request and refused it, in its own words."""


class AnswerNotUnderstood(WebError, Unsupported):
    """The agent answered something else than this program expects: their versions may differ."""
