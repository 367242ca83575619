"""A signed checkpoint of the audit trail every day, in a file and as a line of the log."""

import asyncio
from typing import Final, Protocol

import structlog

from central_sync.services.audit.chain import Place, Statement
from central_sync.services.clock import Clock

logger = structlog.get_logger()

EVERY_MS: Final = 86_400_000
LOOK_SECONDS: Final = 600.0
# Not within the start, which has better to do.
FIRST_LOOK_SECONDS: Final = 60.0


class TrailEnd(Protocol):
    async def last_place(self) -> Place: ...


class StatementFile(Protocol):
    """Called in a thread."""

    def newest(self) -> Statement | None: ...

    def keep(self, place: Place, now: int) -> Statement: ...


class DailyCheckpoints:
    def __init__(self, trail: TrailEnd, file: StatementFile, clock: Clock) -> None:
        self._trail = trail
        self._file = file
        self._clock = clock

    async def run(self) -> None:
        await self._clock.sleep(FIRST_LOOK_SECONDS)
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Makes one where a day has passed since the last; a clock that was set back is no reason to wait."""
        now = self._clock.wall_ms()
        newest = await asyncio.to_thread(self._file.newest)
        if newest is not None and 0 <= now - newest.time < EVERY_MS:
            return
        place = await self._trail.last_place()
        statement = await asyncio.to_thread(self._file.keep, place, now)
        logger.info("audit checkpoint", **statement.model_dump())
