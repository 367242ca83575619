"""How the buffer stands with its disk: one line when that gets worse, one when it is well again.

Belongs to the event loop. `state` is ok, full (room was made, or samples were refused, lately) or failing
(the last write did not succeed: frames stay in memory). There is an `error` where it is so full that a
write did not succeed.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from edge_agent.buffer.errors import DiskFull, NotStored
from edge_agent.contracts.clock import Clock
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Event

logger = structlog.stdlib.get_logger(__name__)

OK: Final = "ok"
FULL: Final = "full"
FAILING: Final = "failing"
# Room is made now and then as long as the disk is full.
_FULL_SECONDS: Final = 600.0


class Condition:
    def __init__(self, clock: Clock, record: Callable[[Kind, Mapping[str, Any]], None]) -> None:
        self._clock = clock
        self._record = record
        self._full_at: float | None = None
        self._no_room = False
        self.error = ""
        self.since_ms: int | None = None
        self.failures = 0

    @property
    def state(self) -> str:
        if self.error:
            return FULL if self._no_room else FAILING
        return FULL if self._full_at is not None else OK

    def failed(self, fault: NotStored) -> None:
        """A write did not succeed."""
        error = str(fault)
        self.failures += 1
        self._no_room = isinstance(fault, DiskFull)
        if not self.error:
            self.since_ms = self._clock.wall_ms()
            logger.error("the buffer cannot be written: samples are kept in memory", error=error)
            self._tell("buffer_failing", f"the buffer cannot be written: {error}")
        self.error = error

    def worked(self) -> None:
        """A write succeeded."""
        if self.error:
            logger.info("the buffer is written again", failures=self.failures)
            self._tell("buffer_back", f"the buffer is written again after {self.failures} failures")
            self.error, self.failures, self.since_ms = "", 0, None
        if self._full_at is not None and self._clock.monotonic() - self._full_at > _FULL_SECONDS:
            logger.info("the buffer has room again")
            self._tell("buffer_room", "the buffer has room again")
            self._full_at = self.since_ms = None

    def made_room(self, what: str) -> None:
        """Something had to go, or was refused."""
        if self._full_at is None:
            self.since_ms = self._clock.wall_ms()
            logger.warning("the buffer is full", consequence=what)
            self._tell("buffer_full", f"the buffer is full: {what}")
        self._full_at = self._clock.monotonic()

    def _tell(self, code: str, message: str) -> None:
        event = Event(time=max(0, self._clock.wall_ms()), code=code, message=message[:500])
        self._record(Kind.EVENT, event.model_dump(mode="json"))
