"""Whether the event loop is behind. A queue of requests whose senders gave up is worked off by nobody's wish:
what comes meanwhile is told at the door to come back, which costs little, so that the rest is in time again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from central_sync.api.problems import of_refusal
from central_sync.services.errors import Busy

LATE_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 0.25
# Whoever is told to come back is told a time between these, so that not all come at once.
_SOONEST_SECONDS: Final = 5
_SPREAD_SECONDS: Final = 20


class Lateness:
    """`start` in the event loop that it watches."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._told = 0

    def start(self) -> None:
        self._due = self._monotonic() + _TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def is_late(self) -> bool:
        """Whether a timer has been due for `LATE_SECONDS` and its turn has not come."""
        return self._monotonic() - self._due > LATE_SECONDS

    def answer(self, headers: bytes) -> bytes:
        """What a request gets that comes now; its connection ends."""
        self._told += 1
        seconds = _SOONEST_SECONDS + self._told % _SPREAD_SECONDS
        refused = of_refusal(Busy("busy", "the centre is behind with its work; nothing was stored", seconds))
        assert isinstance(refused.body, bytes)
        return (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
            b"Retry-After: %d\r\nConnection: close\r\n%b\r\n%b"
        ) % (
            refused.headers["Content-Type"].encode(), len(refused.body), seconds, headers, refused.body,
        )  # fmt: skip
