"""One connection's life: connect, poll its groups when they are due, survive whatever the PLC does.

A task of its own, so that no connection waits for another. It owns what drivers must not: reconnecting
with back-off, the units' breakers, the cap on a read, and one log line down and one back.
"""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import Driver, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import LatestValue
from edge_agent.pipeline.breaker import Breaker, BreakerState
from edge_agent.pipeline.group import Counts, Group
from edge_agent.pipeline.schedule import Schedule
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.wire.messages import ConnectionReport, UnitReport
from edge_agent.wire.quality import Quality

logger = structlog.stdlib.get_logger(__name__)

# A link that drops is tried again soon, and ever more slowly while it does not come back.
RECONNECT_FIRST_SECONDS: Final = 0.1
RECONNECT_MAX_SECONDS: Final = 15.0
BREAKER_FIRST_SECONDS: Final = 5.0
BREAKER_MAX_SECONDS: Final = 60.0
_LATENCY_WEIGHT: Final = 0.1


@dataclass(slots=True)
class Unit:
    """A station behind the connection."""

    unit_id: int | None
    breaker: Breaker
    groups: int = 0
    good_cycles: int = 0
    bad_cycles: int = 0
    error: str = ""


@dataclass(slots=True)
class Scheduled:
    """A group with its unit and its place in time."""

    group: Group
    unit: Unit
    schedule: Schedule
    read_cap_seconds: float


@dataclass(slots=True)
class LinkState:
    """What the status shows of the link."""

    state: str = "connecting"
    since_ms: int = 0
    error: str = ""
    latency_ms: float | None = None


@dataclass(slots=True)
class Lateness:
    """How late cycles began, over all connections: counts by upper bound in milliseconds."""

    bounds_ms: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, float("inf"))
    counts: list[int] = field(default_factory=lambda: [0] * 11)

    def note(self, seconds: float) -> None:
        late_ms = seconds * 1000
        for index, bound in enumerate(self.bounds_ms):
            if late_ms <= bound:
                self.counts[index] += 1
                return


class Poller:
    """Polls one connection for as long as `run` is not cancelled."""

    def __init__(
        self,
        name: str,
        driver_name: str,
        address: str,
        driver: Driver,
        groups: Sequence[Scheduled],
        counts: Counts,
        clock: Clock,
        lateness: Lateness,
    ) -> None:
        self.name = name
        self.counts = counts
        self._driver_name = driver_name
        self._address = address
        self._driver = driver
        self._groups = list(groups)
        self._queue = [(item.schedule.due, index) for index, item in enumerate(self._groups)]
        heapq.heapify(self._queue)
        self._clock = clock
        self._lateness = lateness
        self._backoff = Backoff(RECONNECT_FIRST_SECONDS, RECONNECT_MAX_SECONDS)
        self._link = LinkState(since_ms=clock.wall_ms())
        self._outages = OutageLog(logger.bind(connection=name, driver=driver_name), clock)

    async def run(self) -> None:
        """Never returns by itself; closes the link when cancelled."""
        try:
            while True:
                try:
                    await self._connect()
                    await self._poll()
                except NotConnected as error:
                    self._set_state("down", str(error))
                    self._outages.down(self.name, "connection is down", error=str(error))
                    await self._clock.sleep(self._backoff.next())
                    self._skip_missed()
        finally:
            self._set_state("stopped", "")
            await self._driver.close()

    async def _connect(self) -> None:
        try:
            await self._driver.connect()
        except NotConnected:
            for item in self._groups:
                self._nothing(item)
            raise

    def _skip_missed(self) -> None:
        """Cycles that passed without a link are neither overruns nor to be made up for."""
        now = self._clock.monotonic()
        for item in self._groups:
            item.schedule.skip_to(now)
        self._queue = [(item.schedule.due, index) for index, item in enumerate(self._groups)]
        heapq.heapify(self._queue)

    async def _poll(self) -> None:
        """One cycle after the other, the one that is due first. Raises NotConnected."""
        while True:
            due, index = heapq.heappop(self._queue)
            item = self._groups[index]
            now = self._clock.monotonic()
            if due > now:
                await self._clock.sleep(due - now)
                now = self._clock.monotonic()
            self._lateness.note(now - due)
            await self._cycle(item, now)
            item.schedule.advance(self._clock.monotonic())
            heapq.heappush(self._queue, (item.schedule.due, index))

    async def _cycle(self, item: Scheduled, now: float) -> None:
        if not item.unit.breaker.allows(now):
            self._nothing(item)
            return
        try:
            async with asyncio.timeout(item.read_cap_seconds):
                reading = await self._driver.read(item.group.plan)
        except TimeoutError as error:
            self._nothing(item)
            raise NotConnected(f"a read did not end within {item.read_cap_seconds:g} s") from error
        except NotConnected:
            self._nothing(item)
            raise
        self._note(item, reading, now)
        item.group.take(reading, self._clock.mono_ns(), self._clock.wall_ms())

    def _note(self, item: Scheduled, reading: Reading, started: float) -> None:
        """Counts a finished read for the link and for the unit."""
        unit = item.unit
        key = f"{self.name}/{unit.unit_id}"
        if reading.unanswered:
            unit.bad_cycles += 1
            unit.error = next(iter((reading.errors or {}).values()), "no answer")
            was_closed = unit.breaker.state is BreakerState.CLOSED
            unit.breaker.failed(self._clock.monotonic())
            if was_closed and unit.breaker.state is BreakerState.OPEN:
                self._outages.down(key, "unit does not answer", unit_id=unit.unit_id, error=unit.error)
            return
        latency = (self._clock.monotonic() - started) * 1000
        old = self._link.latency_ms
        self._link.latency_ms = latency if old is None else old + _LATENCY_WEIGHT * (latency - old)
        if self._link.state != "connected":
            self._set_state("connected", "")
            self._outages.back(self.name, "connection is back")
        self._backoff.reset()
        unit.good_cycles += 1
        unit.error = "; ".join(f"{what}: {why}" for what, why in (reading.errors or {}).items())[:500]
        unit.breaker.succeeded()
        self._outages.back(key, "unit answers again", unit_id=unit.unit_id)

    def _nothing(self, item: Scheduled) -> None:
        item.group.take_nothing(Quality.BAD_COMM, self._clock.mono_ns(), self._clock.wall_ms())

    def _set_state(self, state: str, error: str) -> None:
        if state != self._link.state:
            self._link.since_ms = self._clock.wall_ms()
        self._link.state = state
        self._link.error = error

    # --- telling ---------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        return self._link.state == "connected" and not any(
            unit.breaker.state is not BreakerState.CLOSED for unit in self._units()
        )

    def _units(self) -> list[Unit]:
        return list({id(item.unit): item.unit for item in self._groups}.values())

    def latest(self) -> list[LatestValue]:
        return [value for item in self._groups for value in item.group.latest()]

    def report(self) -> ConnectionReport:
        return ConnectionReport(
            name=self.name,
            driver=self._driver_name,
            state=self._link.state,
            address=self._address,
            since=self._link.since_ms,
            error=self._link.error[:2000],
            latency_ms=None if self._link.latency_ms is None else round(self._link.latency_ms, 3),
            overruns=sum(item.schedule.overruns for item in self._groups),
            samples=self.counts.read,
            units=[
                UnitReport(
                    unit_id=unit.unit_id,
                    state=str(unit.breaker.state),
                    error=unit.error[:2000],
                    groups=unit.groups,
                    good_cycles=unit.good_cycles,
                    bad_cycles=unit.bad_cycles,
                )
                for unit in self._units()
            ],
        )
