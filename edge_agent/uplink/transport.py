"""The way to the centre: requests of one shape, over HTTP or through an MQTT broker.

A transport carries requests and answers and knows no more of them; what an answer means is in `client`, and
is the same on every way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from edge_agent.wire.messages import Heartbeat

MAX_ANSWER_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    etag: str | None
    retry_after: str | None
    location: str


class Transport(Protocol):
    """`open` before use, `close` at the end; safe to use concurrently.

    shows_token: whether requests carry the device's credential; where they do not, something on the way
    vouches for the device. most_bytes: that a body may have. on_connected: called with each new connection,
    where there is one that lasts.
    """

    on_connected: Callable[[], None] | None

    @property
    def shows_token(self) -> bool: ...

    @property
    def most_bytes(self) -> int: ...

    async def open(self) -> None:
        """Raises nothing: where it is not possible yet, the requests say so."""
        ...

    async def close(self) -> None: ...

    async def renew(self) -> None:
        """Gives up every connection, and what is known of names and certificates: the next request begins
        from nothing. Requests that are under way end with Unreachable. Raises nothing."""
        ...

    async def request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Reply:
        """One request for a path of the centre's API and whatever is answered, within this time. Raises
        Unreachable; BodyTooLarge where no answer is needed to know that."""
        ...

    async def announce(self, heartbeat: Heartbeat) -> None:
        """Tells whoever listens beside the centre. Nothing depends on it. Raises nothing."""
        ...
