"""Devices that are not heard any more become offline."""

from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.devices import DeviceRow, summary
from central_sync.services.errors import Busy
from central_sync.services.health import offline_before
from central_sync.services.live import Hub

LOOK_SECONDS: Final = 1.0


class SilenceStore(Protocol):
    async def silence(self, before: int, now: int) -> list[DeviceRow]: ...


class OfflineWatch:
    """A centre that was down itself has heard nobody: it waits for three heartbeats first."""

    def __init__(self, store: SilenceStore, hub: Hub, clock: Clock, heartbeat_seconds: float) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._seconds = heartbeat_seconds
        self._started = clock.wall_ms()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        now = self._clock.wall_ms()
        before = offline_before(now, self._seconds)
        if before <= self._started:
            return
        try:
            quiet = await self._store.silence(before, now)
        except Busy:
            return
        for row in quiet:
            self._hub.publish("device", summary(row, now).model_dump(mode="json"), row.id)
