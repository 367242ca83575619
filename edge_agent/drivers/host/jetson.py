"""tegrastats as a child process: its newest line. Killed on close; begun again by the next read, not at once.

It is not the connection's link: where it fails, its own tags are bad, and the rest of the box is read on.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from edge_agent.drivers.host.figures import Bad, Figures
from edge_agent.drivers.host.tegrastats import LONGEST_LINE, parse
from edge_agent.wire.quality import Quality

# Not a setting: a centre may be allowed to change connections, and shall not choose programs to run.
PROGRAM: Final = "/usr/bin/tegrastats"
# A line is old after so many intervals.
_STALE_INTERVALS: Final = 5
AGAIN_SECONDS: Final = 5.0


class Tegrastats:
    """figures: raises nothing; the reason stands in place of each figure."""

    def __init__(
        self, program: str, interval: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._program = program
        self._interval = interval
        self._monotonic = monotonic
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._line = ""
        self._line_at = 0.0
        self._begun_at: float | None = None
        self._why = Bad(Quality.BAD_COMM, "tegrastats has said nothing yet")

    async def figures(self, seconds: float) -> Figures | Bad:
        """What it said last. Waits for its first line, at most so long."""
        now = self._monotonic()
        if self._child is None and (self._begun_at is None or now - self._begun_at >= AGAIN_SECONDS):
            await self._begin(now)
        if self._child is not None and not self._line:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), seconds)
        if self._child is None:
            return self._why
        age = self._monotonic() - self._line_at
        if not self._line or age > _STALE_INTERVALS * self._interval:
            if self._line:
                self._end(f"tegrastats has said nothing for {age:.0f} s")
            return self._why
        found = parse(self._line)
        return found or Bad(Quality.BAD_DEVICE, f"tegrastats says {self._line[:80]!r}")

    async def _begin(self, now: float) -> None:
        self._begun_at = now
        self._line = ""
        self._heard.clear()
        try:
            self._child = await asyncio.create_subprocess_exec(
                self._program, "--interval", str(round(self._interval * 1000)),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, limit=LONGEST_LINE,
            )  # fmt: skip
        except OSError as error:
            text = f"{self._program}: {error.strerror or error}; it is there on Jetson boards alone"
            self._why = Bad(Quality.BAD_CONFIG, text)
            return
        self._why = Bad(Quality.BAD_COMM, "tegrastats has said nothing yet")
        self._reader = asyncio.create_task(self._listen(self._child), name="tegrastats")

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        try:
            while line := await child.stdout.readline():
                self._line = line.decode("ascii", "replace").strip()
                self._line_at = self._monotonic()
                self._heard.set()
            self._end("tegrastats has ended")
        except ValueError:  # a line without an end
            self._end("tegrastats says what is no line")
        finally:
            await _bury(child)

    def _end(self, why: str) -> None:
        self._why = Bad(Quality.BAD_COMM, why)
        self._child = None
        self._line = ""
        self._heard.set()
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    async def close(self) -> None:
        """Ends the child and waits until it has gone."""
        reader, self._reader = self._reader, None
        self._child = None
        self._line = ""
        self._begun_at = None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def _bury(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
