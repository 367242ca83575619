"""Saves the read models now and then, so that a start replays seconds and not everything."""

from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.errors import Busy

CHECKPOINT_SECONDS: Final = 10.0


class CheckpointStore(Protocol):
    async def checkpoint(self) -> None: ...


class Checkpoints:
    def __init__(self, store: CheckpointStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(CHECKPOINT_SECONDS)
            try:
                await self._store.checkpoint()
            except Busy:
                # The writer has said why; the next one holds this one's part too.
                continue
