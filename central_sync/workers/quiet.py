"""Writes the heartbeats that said nothing new, some time after they came (services/devices/roll.py)."""

from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.devices.roll import KEEP_SECONDS
from central_sync.services.errors import Busy

LOOK_SECONDS: Final = 1.0


class QuietStore(Protocol):
    async def write_quiet(self, before: float) -> None:
        """Those of which a device's first came by that time on the monotonic clock. Raises Busy."""
        ...


class QuietWriter:
    def __init__(self, store: QuietStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """What the storage does not take now it is asked to take again."""
        try:
            await self._store.write_quiet(self._clock.monotonic() - KEEP_SECONDS)
        except Busy:
            return
