"""Writes down how the wall clock stands to the monotonic one: at the start, at each step, at each
change of synchronisation, and every ten minutes.

With these readings the centre can correct times later; a sample's own times are never altered.
"""

from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.frames import FrameSink
from edge_agent.runtime.clock import sync_state
from edge_agent.wire.batch import Kind

logger = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 600.0
STEP_MS: Final = 500


class ClockWatch:
    def __init__(self, clock: Clock, sink: FrameSink) -> None:
        self._clock = clock
        self._sink = sink

    async def run(self) -> None:
        """Never returns."""
        offset = self._offset_ms()
        sync = sync_state()
        self._write("start", sync)
        written = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now_offset, now_sync = self._offset_ms(), sync_state()
            step = now_offset - offset
            if abs(step) >= STEP_MS:
                logger.warning("the wall clock was set", step_ms=step)
                self._write("step", now_sync, step)
            elif now_sync != sync:
                self._write("sync", now_sync)
            elif self._clock.monotonic() - written >= WRITE_SECONDS:
                self._write("regular", now_sync)
            else:
                continue
            offset, sync, written = now_offset, now_sync, self._clock.monotonic()

    def _offset_ms(self) -> int:
        return self._clock.wall_ms() - self._clock.mono_ns() // 1_000_000

    def _write(self, why: str, sync: bool | None, step_ms: int = 0) -> None:
        record = {
            "why": why,
            "wall_ms": self._clock.wall_ms(),
            "mono_ns": self._clock.mono_ns(),
            "sync": sync,
        }
        self._sink.record(Kind.CLOCK, {**record, "step_ms": step_ms} if step_ms else record)
