"""The deterministic clock of tests and simulations: time passes only where `advance` is called.

It drives whatever waits on a `Clock`. It does not drive `asyncio.timeout`, sockets or threads.
"""

import asyncio
import heapq
from typing import Final

# How often woken tasks get a turn before time moves on: enough for chains of several tasks that wake
# one another through queues and events.
_TURNS: Final = 20


class ManualClock:
    """A `contracts.clock.Clock` whose time stands still between two calls of `advance`."""

    def __init__(self, monotonic: float = 1_000.0, wall_ms: int = 1_767_225_600_000) -> None:
        self._mono_ns = round(monotonic * 1e9)
        self._wall_offset_ms = wall_ms - self._mono_ns // 1_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def monotonic(self) -> float:
        return self._mono_ns / 1e9

    def mono_ns(self) -> int:
        return self._mono_ns

    def wall_ms(self) -> int:
        return self._mono_ns // 1_000_000 + self._wall_offset_ms

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._mono_ns + round(seconds * 1e9), self._order, sleeper))
        await sleeper

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    def step_wall(self, milliseconds: int) -> None:
        """Steps the wall clock either way, as an administrator or NTP does; durations are not touched."""
        self._wall_offset_ms += milliseconds

    def stand_still(self, seconds: float) -> None:
        """Time passes and nobody gets a turn: a process that was stopped. Who was due is woken after it."""
        self._mono_ns += round(seconds * 1e9)

    async def advance(self, seconds: float = 0.0) -> None:
        """Lets `seconds` pass: stops at each sleeper's time, in order, wakes it and lets tasks run.

        What a woken task starts to wait for within these seconds is waited for as well.
        """
        if seconds < 0:
            raise ValueError("time only goes forward")
        end = self._mono_ns + round(seconds * 1e9)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._mono_ns = max(self._mono_ns, self._sleepers[0][0])
            while self._sleepers and self._sleepers[0][0] <= self._mono_ns:
                sleeper = heapq.heappop(self._sleepers)[2]
                if not sleeper.done():
                    sleeper.set_result(None)
            await self._settle()
        self._mono_ns = end

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
