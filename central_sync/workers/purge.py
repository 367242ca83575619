"""Deletes the data of devices whose purge was asked for, a bounded part at a time, so that nobody waits."""

from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.errors import Busy

LOOK_SECONDS: Final = 5.0
# Between two parts: uploads come first.
STEP_SECONDS: Final = 0.05


class PurgeStore(Protocol):
    async def purging(self) -> list[str]: ...

    async def purge_step(self, device: str, now: int) -> bool: ...


class Purge:
    """What it does is in the database: a stop in the middle goes on at the next start."""

    def __init__(self, store: PurgeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            for device in await self._store.purging():
                await self._purge(device)

    async def _purge(self, device: str) -> None:
        try:
            while not await self._store.purge_step(device, self._clock.wall_ms()):
                await self._clock.sleep(STEP_SECONDS)
        except Busy:
            return
