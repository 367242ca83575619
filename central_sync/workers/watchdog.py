"""Feeds systemd's watchdog while the writer makes progress. It runs on the event loop: where that is
blocked, nobody feeds.
"""

from typing import Final, Protocol

import structlog

from central_sync.notify import Notifier
from central_sync.services.clock import Clock

logger = structlog.get_logger()

# A commit waits for a lock for 10 s, for a bad disk longer.
WRITER_SECONDS: Final = 60.0
_UNWATCHED_SECONDS: Final = 30.0
_FEEDS: Final = 3
_START_TURN_SECONDS: Final = 5.0
_START_MOST_SECONDS: Final = 1800.0


class WritingStore(Protocol):
    @property
    def writing(self) -> int | None:
        """The number of the group of jobs that is being written; None: nothing is."""
        ...


class Watchdog:
    """Quiet time is the judge's own: a machine that slept, or a process that was stopped and goes on, is not
    taken for stalled, since nobody judged meanwhile."""

    def __init__(self, notifier: Notifier, watchdog_seconds: float | None, clock: Clock) -> None:
        self._notifier = notifier
        self._turn_seconds = (watchdog_seconds or _UNWATCHED_SECONDS) / _FEEDS
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._seen: int | None = None
        self._quiet_seconds = 0.0
        self._stalled = False

    async def during_start(self) -> None:
        """Asks systemd for more time while read models are replayed."""
        began = self._clock.monotonic()
        while self._clock.monotonic() - began < _START_MOST_SECONDS:
            self._notifier.extend(4 * _START_TURN_SECONDS)
            await self._clock.sleep(_START_TURN_SECONDS)

    async def feed(self, store: WritingStore) -> None:
        """Never returns."""
        while True:
            self.turn(store.writing)
            await self._clock.sleep(self._turn_seconds)

    def turn(self, writing: int | None) -> None:
        """One look at the writer."""
        now = self._clock.monotonic()
        elapsed, self._looked_at = min(now - self._looked_at, 2 * self._turn_seconds), now
        same = writing is not None and writing == self._seen
        self._quiet_seconds = self._quiet_seconds + elapsed if same else 0.0
        self._seen = writing
        stalled = self._quiet_seconds > WRITER_SECONDS
        if not stalled:
            self._notifier.watchdog()
        if stalled and not self._stalled:
            logger.error("the writer makes no progress: the watchdog is not fed")
            self._notifier.status("no progress: writer")
        elif self._stalled and not stalled:
            logger.info("the writer makes progress again")
            self._notifier.status("the writer makes progress again")
        self._stalled = stalled
