"""How this device stands with the centre: whether its credential is accepted, and since when it is not."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.uplink.credentials import Credentials

logger = structlog.stdlib.get_logger(__name__)

# A refusal between two good answers is none of the device's: an overloaded proxy, a database restored.
_TEXT: Final = "the centre does not accept this device's credential"


class Standing:
    """Told of every answer by the client. One log line when it begins and one when it is over."""

    def __init__(self, clock: Clock, credentials: Credentials | None, on_back: Callable[[], None]) -> None:
        """credentials: None where the config names a token. on_back: it is accepted again."""
        self._clock = clock
        self._credentials = credentials
        self._on_back = on_back
        self._since: tuple[float, int] | None = None
        self._detail = ""
        self.refusals = 0

    def good(self, bearer: str) -> None:
        """The centre answered a request with this token."""
        if self._credentials is not None:
            self._credentials.worked(bearer)
        if self._since is not None:
            seconds = self._clock.monotonic() - self._since[0]
            logger.info(
                "the centre accepts this device's credential again",
                outage_seconds=round(seconds), failures=self.refusals,
            )  # fmt: skip
            self._since, self.refusals = None, 0
            self._on_back()

    def bad(self, bearer: str | None, detail: str) -> None:
        """401, or there is no token to send."""
        self._detail = detail
        if self._credentials is not None and bearer is not None:
            self._credentials.failed(bearer)
        self.refusals += 1
        if self._since is None:
            self._since = (self._clock.monotonic(), self._clock.wall_ms())
            logger.warning(_TEXT, error=detail)

    def refused_seconds(self) -> float | None:
        """For how long nothing but refusals has come; None: it is accepted, as far as is known."""
        return None if self._since is None else self._clock.monotonic() - self._since[0]

    @property
    def text(self) -> str | None:
        """For people, while it is not accepted."""
        if self._since is None:
            return None
        since = datetime.fromtimestamp(self._since[1] / 1000, UTC)
        return f"{_TEXT} since {since:%Y-%m-%d %H:%M:%S}Z: {self._detail}"
