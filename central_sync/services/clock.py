"""Time, injected: whoever measures or waits takes a `Clock`, and tests give it a fake one."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward; for durations and deadlines."""
        ...

    def wall_ms(self) -> int:
        """UTC milliseconds; may step."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
