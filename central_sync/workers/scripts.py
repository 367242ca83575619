"""Working out who is served which scripts: what a change left over, and devices whose labels changed."""

from typing import Final, Protocol

from central_sync.services.clock import Clock
from central_sync.services.errors import Busy

LOOK_SECONDS: Final = 1.0


class ScriptSets(Protocol):
    async def settle(self, now: int) -> int: ...


class ScriptSpread:
    def __init__(self, sets: ScriptSets, clock: Clock) -> None:
        self._sets = sets
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Until nothing is left; each part is a transaction of its own."""
        try:
            while await self._sets.settle(self._clock.wall_ms()):
                pass
        except Busy:
            return
