"""Devices that are not heard any more become offline."""

from collections.abc import Callable
from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.service import DeviceRow, summary
from central_sync.services.errors import Busy
from central_sync.services.live import Hub

LOOK_SECONDS: Final = 1.0


class SilenceStore(Protocol):
    async def awake(self) -> list[tuple[str, float | None]]:
        """The devices that are not offline, with their heartbeat interval in seconds."""
        ...

    async def silence(
        self, devices: list[str], is_overdue: Callable[[str], bool], now: int
    ) -> list[DeviceRow]:
        """Those of them that are still overdue become offline; returns these."""
        ...


class OfflineWatch:
    """A centre that was down itself has heard nobody: it waits for three heartbeats first."""

    def __init__(self, store: SilenceStore, hub: Hub, clock: Clock, presence: Presence) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._presence = presence
        self._complete = False

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        if not self._complete:
            for device, interval in await self._store.awake():
                self._presence.expect(device, interval)
            self._complete = True
        overdue = self._presence.overdue()
        if not overdue:
            return
        now = self._clock.wall_ms()
        try:
            quiet = await self._store.silence(overdue, self._presence.is_overdue, now)
        except Busy:
            return
        for device in overdue:
            self._presence.forget(device)
        for row in quiet:
            self._hub.publish("device", summary(row, now).model_dump(mode="json"), row.id)
