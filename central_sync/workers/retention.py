"""Removes what is older than it is kept: a short part, then a pause ten times as long."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from central_sync.services.clock import Clock
from central_sync.services.errors import Busy
from central_sync.services.retention import Ages, InvariantBroken, RetentionStore, Slice

logger = structlog.get_logger()

EVERY_SECONDS: Final = 600.0
FIRST_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 0.04
# While more than this share of the writer's queue waits, nothing is removed.
BUSY_LOAD: Final = 0.25
BUSY_SECONDS: Final = 1.0
# Refusals of the writer after which the rest waits for the next time.
_PATIENCE: Final = 5
_COMMANDS: Final = 20

Part = Callable[[int], Awaitable[Slice]]


class OldCommands(Protocol):
    async def forget(self, before: int, limit: int) -> int: ...


class Retention:
    def __init__(
        self,
        store: RetentionStore,
        commands: OldCommands,
        ages: Ages,
        load: Callable[[], float],
        clock: Clock,
    ) -> None:
        """load: how full the writer's queue is, 0 to 1."""
        self._store = store
        self._commands = commands
        self._ages = ages
        self._load = load
        self._clock = clock

    async def run(self) -> None:
        await self._clock.sleep(FIRST_SECONDS)
        while True:
            await self.sweep()
            await self._clock.sleep(EVERY_SECONDS)

    async def sweep(self) -> dict[str, int]:
        """Everything that is too old by now; how many rows of each kind."""
        now = self._clock.wall_ms()
        removed: dict[str, int] = {}
        for kind, age, part in self._kinds(now):
            if age is not None:
                removed[kind] = await self._all(kind, part(now - int(age * 1000)))
        if removed.get("samples"):
            await self._vacuum()
        if any(removed.values()):
            logger.info("retention removed rows", **removed)
        return removed

    def _kinds(self, now: int) -> list[tuple[str, float | None, Callable[[int], Part]]]:
        store, ages = self._store, self._ages
        return [
            ("samples", ages.samples, lambda before: lambda at: store.samples(before, now, at)),
            ("events", ages.events, lambda before: lambda at: store.events(before, at)),
            ("heartbeats", ages.heartbeats, lambda before: lambda at: store.heartbeats(before, at)),
            ("commands", ages.commands, lambda before: lambda _: self._forget(before)),
            ("audit", ages.audit, lambda before: lambda _: store.audit(before, now)),
        ]

    async def _forget(self, before: int) -> Slice:
        gone = await self._commands.forget(before, _COMMANDS)
        return Slice(gone, 0 if gone == _COMMANDS else None)

    async def _all(self, kind: str, part: Part) -> int:
        removed, refusals = 0, 0
        cursor: int | None = 0
        while cursor is not None and refusals < _PATIENCE:
            await self._wait()
            try:
                done = await part(cursor)
            except Busy:
                refusals += 1
                await self._clock.sleep(BUSY_SECONDS)
                continue
            except InvariantBroken as error:
                logger.error("retention stopped", kind=kind, error=str(error))
                break
            removed += done.removed
            cursor = done.cursor
        return removed

    async def _vacuum(self) -> None:
        more = True
        while more:
            await self._wait()
            try:
                more = await self._store.vacuum()
            except Busy:
                return

    async def _wait(self) -> None:
        await self._clock.sleep(PAUSE_SECONDS)
        while self._load() > BUSY_LOAD:
            await self._clock.sleep(BUSY_SECONDS)
