"""Feeds systemd's watchdog while poller, writer and uploader make progress, and says so in one line.

Everything that must not stand still is watched here, with how long it may be quiet. The feeder runs on the
event loop: where that is blocked, nobody feeds.
"""

from collections.abc import Callable
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.notify import Notifier
from edge_agent.runtime.progress import Progress, Pulse
from edge_agent.wire.messages import BufferReport

logger = structlog.stdlib.get_logger(__name__)

# Beyond what a part says that its turn takes. A commit waits for a lock for 10 s, and for a bad card longer.
WRITER_SECONDS: Final = 60.0
POLLER_SECONDS: Final = 60.0
UPLOADER_SECONDS: Final = 60.0
# Where systemd does not watch, parts are judged for the log alone.
_UNWATCHED_SECONDS: Final = 30.0
_FEEDS: Final = 3
_STATUS_SECONDS: Final = 5.0
_START_TURN_SECONDS: Final = 5.0
# A start reads what it finds, and saves what can be saved of a damaged database: minutes, not hours.
_START_MOST_SECONDS: Final = 1800.0


class Watchdog:
    """`run` feeds every third of the time within which systemd wants a sign of life."""

    def __init__(
        self, notifier: Notifier, watchdog_seconds: float | None, clock: Clock, line: Callable[[], str]
    ) -> None:
        """line: what `systemctl status` shows while all is well."""
        self._notifier = notifier
        self._turn_seconds = (watchdog_seconds or _UNWATCHED_SECONDS) / _FEEDS
        self._clock = clock
        self._line = line
        self._told = ""
        self._told_at = clock.monotonic()
        self._stalled: frozenset[str] = frozenset()
        self.progress = Progress(self._turn_seconds)

    def watch(self, name: str, pulse: Pulse, limit_seconds: float, *, together: str = "") -> None:
        self.progress.watch(name, pulse, limit_seconds, together=together)

    async def during_start(self) -> None:
        """Asks systemd for more time while the start takes its time."""
        began = self._clock.monotonic()
        while self._clock.monotonic() - began < _START_MOST_SECONDS:
            self._notifier.extend(4 * _START_TURN_SECONDS)
            await self._clock.sleep(_START_TURN_SECONDS)

    async def run(self) -> None:
        """Never returns."""
        while True:
            self.turn()
            await self._clock.sleep(self._turn_seconds)

    def turn(self) -> None:
        """Judges, feeds or does not, and tells what changed."""
        stalls = self.progress.stalled(self._clock.monotonic())
        if not stalls:
            self._notifier.watchdog()
        names = frozenset(stall.name for stall in stalls)
        for stall in stalls:
            if stall.name not in self._stalled:
                logger.error(
                    "a part makes no progress: the watchdog is not fed",
                    component=stall.name,
                    quiet_seconds=stall.quiet_seconds,
                )
        for name in sorted(self._stalled - names):
            logger.info("a part makes progress again", component=name)
        self._stalled = names
        self._tell(f"no progress: {', '.join(sorted(names))}" if names else self._line())

    def _tell(self, line: str) -> None:
        now = self._clock.monotonic()
        if line != self._told and now - self._told_at >= min(_STATUS_SECONDS, self._turn_seconds):
            self._told, self._told_at = line, now
            self._notifier.status(line)


def status_line(healthy: list[bool], buffer: BufferReport, sinks: list[SinkReport]) -> str:
    """`12 connections, 3 down; buffer 4 %; central ok`."""
    count = f"{len(healthy)} connection{'' if len(healthy) == 1 else 's'}"
    down = healthy.count(False)
    parts = [f"{count}, {down} down" if down else count]
    if buffer.quota_bytes:
        parts.append(f"buffer {round(100 * buffer.pending_bytes / buffer.quota_bytes)} %")
    parts += [f"{sink.name} {sink.state}" for sink in sinks]
    return "; ".join(parts)
