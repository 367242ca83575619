"""Writes down how the wall clock stands to the monotonic one: at the start, at each step, at each
change of synchronisation, after the machine slept, and every ten minutes.

With these readings the centre can correct times later; a sample's own times are never altered. While a
machine sleeps its monotonic clock stands still: every schedule goes on where it was, as if nothing had
been missed, and only what others have forgotten meanwhile has to be renewed (`on_resume`).
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.frames import FrameSink
from edge_agent.runtime.clock import suspended_seconds, sync_state
from edge_agent.wire.batch import Kind

logger = structlog.stdlib.get_logger(__name__)

# A sleep has to be noticed soon; a step and a change of synchronisation in time for the next look but few.
LOOK_SECONDS: Final = 1.0
WRITE_SECONDS: Final = 600.0
STEP_MS: Final = 500
SLEPT_SECONDS: Final = 2.0


async def _nothing() -> None: ...


class ClockWatch:
    def __init__(
        self,
        clock: Clock,
        sink: FrameSink,
        on_resume: Callable[[], Awaitable[None]] = _nothing,
        suspended: Callable[[], float] = suspended_seconds,
        synchronised: Callable[[], bool | None] = sync_state,
    ) -> None:
        """on_resume: renews what a sleep makes stale. suspended: seconds slept since the boot."""
        self._clock = clock
        self._sink = sink
        self._on_resume = on_resume
        self._suspended = suspended
        self._synchronised = synchronised

    async def run(self) -> None:
        """Never returns."""
        offset, sync, slept = self._offset_ms(), self._synchronised(), self._suspended()
        self._write("start", sync)
        written = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now_offset, now_sync, now_slept = self._offset_ms(), self._synchronised(), self._suspended()
            step, nap = now_offset - offset, now_slept - slept
            if nap >= SLEPT_SECONDS:
                logger.warning("the machine was suspended", seconds=round(nap, 1))
                self._write("resume", now_sync, step, nap)
                await self._on_resume()
            elif abs(step) >= STEP_MS:
                logger.warning("the wall clock was set", step_ms=step)
                self._write("step", now_sync, step)
            elif now_sync != sync:
                self._write("sync", now_sync)
            elif self._clock.monotonic() - written >= WRITE_SECONDS:
                self._write("regular", now_sync)
            else:
                continue
            offset, sync, slept, written = now_offset, now_sync, now_slept, self._clock.monotonic()

    def _offset_ms(self) -> int:
        return self._clock.wall_ms() - self._clock.mono_ns() // 1_000_000

    def _write(self, why: str, sync: bool | None, step_ms: int = 0, slept_seconds: float = 0.0) -> None:
        record = {
            "why": why,
            "wall_ms": self._clock.wall_ms(),
            "mono_ns": self._clock.mono_ns(),
            "sync": sync,
        }
        if step_ms:
            record["step_ms"] = step_ms
        if slept_seconds:
            record["slept_ms"] = round(slept_seconds * 1000)
        self._sink.record(Kind.CLOCK, record)
