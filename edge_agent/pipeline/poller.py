"""One connection's life: connect, poll its groups when they are due, survive whatever the PLC does.

A task of its own, so that no connection waits for another. Between polls it does what others want done over
its link (errands). It owns what drivers must not: reconnecting with back-off, the units' breakers, the cap on
a read, and one log line down and one back. What it does about silence is asked of it from outside (`look`).
"""

import asyncio
import heapq
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import Driver, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.hooks import LinkChange
from edge_agent.contracts.status import LatestValue
from edge_agent.pipeline.chronicle import Chronicle
from edge_agent.pipeline.errands import ErrandLink, Errands, Hung
from edge_agent.pipeline.group import Counts
from edge_agent.pipeline.introduction import Introduction
from edge_agent.pipeline.link import Lateness, Line, LinkState
from edge_agent.pipeline.liveness import ConnectionLiveness, Subject, Verdict
from edge_agent.pipeline.scheduled import Scheduled, turns
from edge_agent.pipeline.session import Interrupted, Session
from edge_agent.pipeline.unit import Unit
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.liveness import Stage
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.progress import Pulse
from edge_agent.wire.messages import ConnectionReport
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema, TagSchema

logger = structlog.stdlib.get_logger(__name__)

# A link that drops is tried again soon, and ever more slowly while it does not come back.
RECONNECT_FIRST_SECONDS: Final = 0.1
RECONNECT_MAX_SECONDS: Final = 15.0
# So long a driver in a hurry waits, so that its frames are not of one message each.
_HURRY_NS: Final = 10_000_000
# A call is capped here as well, for drivers that swallow the cancellation at their own cap.
_OVERTIME_SECONDS: Final = 3.0
# One write and what reads its tag before and after go before a cycle that is due; then that has its turn.
_ERRANDS_IN_A_ROW: Final = 3
# What ends a link, and waits before the next, takes at most so long.
_CHANGE_SECONDS: Final = 30.0
_TEXT: Final = 2000


class Poller:
    """Polls one connection while `run` is not cancelled. Long, since all of it turns on one link's state."""

    def __init__(
        self,
        line: Line,
        make_driver: Callable[[], Driver],
        groups: Sequence[Scheduled],
        counts: Counts,
        clock: Clock,
        lateness: Lateness,
    ) -> None:
        """make_driver: does no I/O. Called again where a driver hangs for ever."""
        self.name = line.name
        self.counts = counts
        self.pulse = Pulse()
        self._line = line
        self._make_driver = make_driver
        self.errands = Errands(clock)
        self._driver = self.errands.served_by(make_driver())
        self._groups = list(groups)
        self._units = list({id(item.unit): item.unit for item in self._groups}.values())
        self._introduction = Introduction(self._driver, self._units)
        self._queue: list[tuple[int, int]] = []
        self._clock = clock
        self._lateness = lateness
        self._backoff = Backoff(RECONNECT_FIRST_SECONDS, RECONNECT_MAX_SECONDS)
        self._link = LinkState(since_ms=clock.wall_ms())
        outages = OutageLog(logger.bind(connection=line.name, driver=line.driver_name), clock)
        self._chronicle = Chronicle(line.name, self._link, outages, clock)
        self.writing = ErrandLink(self.errands, self._link, self._units)
        self._ready_ns = 0  # since when cycles can be served
        self._used = False  # a read has come back over this link
        self._session = Session(f"connection {line.name}", clock)
        self._liveness = ConnectionLiveness(
            line.name,
            [(each.unit.unit_id, each.group.schema.group, each.liveness_seconds) for each in groups],
            clock.monotonic(),
        )
        self._rebuilds = 0
        self._slept = False
        self._overdue_at = inf  # when what is awaited now hangs, and whom it was asked for
        self._asked: Unit | None = None

    async def run(self) -> None:
        """Never returns by itself; closes the link when cancelled.

        Raises what a driver must not raise. It may be called again then, and goes on where it was.
        """
        stopped = False
        try:
            while True:
                try:
                    await self._session.run(self._serve)
                except NotConnected as error:
                    self._expect(inf)
                    self.errands.close(f"the connection is down: {error}")
                    self._chronicle.down(str(error))
                    if isinstance(error, Interrupted):
                        await self._give_up_link(error)
                    await self._clock.sleep(self._backoff.next())
        except asyncio.CancelledError:
            stopped = True
            raise
        finally:
            self.errands.close("the connection is being closed")
            if stopped:
                self._link.change("stopped", self._clock.wall_ms())
            else:
                self._link.change("down", self._clock.wall_ms(), "the driver failed in an unexpected way")
                self._all_silent()
            self._expect(inf)
            if stopped:
                self._take_left_over()
            await self._session.close(self._driver.close)
            if stopped:
                self._take_left_over()

    def _take_left_over(self) -> None:
        for item in self._groups:
            item.take_left_over(self._driver, self._clock.mono_ns(), self._clock.wall_ms())

    async def _serve(self) -> None:
        """Opens the link and polls over it. Raises NotConnected."""
        await self._open()
        self._begin()
        await self._poll()

    async def _give_up_link(self, error: Interrupted) -> None:
        """A driver of which a call hangs for ever gets no other: nobody knows what it holds."""
        closed = await self._session.close(self._driver.close)
        if error.left_behind or not closed:
            self._driver = self.errands.served_by(self._make_driver())
            self._introduction = Introduction(self._driver, self._units)

    def _expect(self, seconds: float, unit: Unit | None = None) -> None:
        """What is awaited next, for `unit`, takes at most so long: else it hangs."""
        self._overdue_at = self._clock.monotonic() + seconds + _OVERTIME_SECONDS
        self.pulse.beat(seconds if seconds < inf else _CHANGE_SECONDS)
        self._asked = unit

    async def _open(self) -> None:
        """Opens the link. Raises NotConnected; then no group has a value any more."""
        self._used = False
        self.errands.close("the connection is being opened anew")
        cap = self._line.connect_cap_seconds
        self._expect(cap)
        try:
            await self._connect(cap)
        except TimeoutError as error:
            self._all_silent()
            raise NotConnected(f"the link was not open within {cap:g} s") from error
        except NotConnected:
            self._all_silent()
            raise

    async def _connect(self, cap: float) -> None:
        try:
            async with asyncio.timeout(cap):
                await self._driver.connect()
        finally:
            self._session.check()
        self.errands.open()

    def _begin(self) -> None:
        """Cycles that passed without a link are no overruns. What was bad is read at once, the rest when due.

        What waited longest comes first: a group that breaks the link goes to the end of the queue.
        """
        self._introduction.begin()
        now = self._ready_ns = self._clock.mono_ns()
        for item in self._groups:
            if item.group.silent or self._slept:
                item.schedule.hasten(now)
        self._slept = False
        self._queue = turns(self._groups)

    async def _poll(self) -> None:
        """One cycle after the other, the one that is due first. Raises NotConnected."""
        queue = self._queue
        in_a_row = 0
        while True:
            if self.errands.is_hurried:
                self.errands.is_hurried = False
                queue = self._queue = turns(self._groups, self._clock.mono_ns() + _HURRY_NS)
            due, index = queue[0]
            while self.errands and in_a_row < _ERRANDS_IN_A_ROW:
                in_a_row = in_a_row + 1 if due <= self._clock.mono_ns() else 0
                await self._run_errand()
            item = self._groups[index]
            self._expect(max(0, due - self._clock.mono_ns()) / 1e9)
            await self._introduction.use_pause((due - self._clock.mono_ns()) / 1e9)
            # A turn for all others even where cycles are late and the driver has no reason to wait.
            called = await self.errands.pause(max(0, due - self._clock.mono_ns()) / 1e9)
            if called and in_a_row < _ERRANDS_IN_A_ROW:
                continue
            in_a_row = 0
            planned = max(due, self._ready_ns)
            self._lateness.note(self._clock.mono_ns() - planned)
            try:
                await self._cycle(item, planned)
            finally:
                if queue is self._queue:  # else this was left behind, and another polls
                    item.reschedule(self._clock, self._ready_ns)
                    heapq.heapreplace(queue, (item.schedule.due, index))

    async def _run_errand(self) -> None:
        """Raises Hung. Where the link was lost, the next poll finds out."""
        cap = self._line.connect_cap_seconds
        self._expect(cap)
        try:
            await self.errands.next(self._driver, cap)
        finally:
            self._session.check()

    async def _cycle(self, item: Scheduled, planned_ns: int) -> None:
        started = self._clock.monotonic()
        if not item.unit.breaker.allows(started):
            self._silent(item)
            return
        try:
            reading = await self._read(item)
        except NotConnected:
            self._silent(item)
            raise
        if reading is None:
            self._silent(item)
            return
        self._used = True
        if reading.unanswered:
            error = next(iter((reading.errors or {}).values()), "no answer")
            self._chronicle.unit_failed(item.unit, error)
        elif reading.news is None or reading.news or reading.alive:  # else a subscription brought nothing
            seconds = self._clock.monotonic() - started
            self._chronicle.answered(item.unit, item.group.schema.group, reading, seconds)
            self._backoff.reset()
        item.group.take(reading, self._clock.mono_ns(), self._clock.wall_ms(), planned_ns)
        item.tell_taken(self._driver)

    async def _read(self, item: Scheduled) -> Reading | None:
        """None where only this unit cannot be read. Raises NotConnected."""
        try:
            return await self._read_capped(item)
        except Hung:
            raise
        except NotConnected as error:
            if not self._used:
                self._blame(item.unit, error)
                raise
        # A link that worked until now is opened again at once: a PLC that closed it, or a driver that
        # dropped it after a neighbour's silence, should not cost this group its cycle.
        await self._open()
        try:
            return await self._read_capped(item)
        except Hung:
            raise
        except NotConnected as error:
            if not self._blame(item.unit, error):
                raise
            # Whoever is next finds the link lost, and opens it again as well.
            self._used = True
            return None

    async def _read_capped(self, item: Scheduled) -> Reading:
        cap = item.read_cap_seconds
        self._expect(cap, item.unit)
        try:
            return await self._read_once(item, cap)
        except TimeoutError as error:
            text = f"a read did not end within {cap:g} s"
            self._chronicle.unit_failed(item.unit, text)
            raise Hung(text) from error

    async def _read_once(self, item: Scheduled, cap: float) -> Reading:
        try:
            async with asyncio.timeout(cap):
                return await self._driver.read(item.group.plan)
        finally:
            self._session.check()

    def _blame(self, unit: Unit, error: NotConnected) -> bool:
        """A fresh link broke while this unit was asked: with others behind the link it is held against it.

        Some gateways hang up on requests to a unit that they do not know. True if it was blamed.
        """
        if len(self._units) == 1:
            return False
        self._chronicle.unit_failed(unit, str(error))
        return True

    def _silent(self, item: Scheduled) -> None:
        item.group.take_nothing(Quality.BAD_COMM, self._clock.mono_ns(), self._clock.wall_ms())

    def _all_silent(self) -> None:
        for item in self._groups:
            self._silent(item)

    def resumed(self) -> None:
        """The machine slept: the peer may have forgotten the link, and all that is known is old."""
        self._slept = True
        self._session.interrupt("the machine was suspended")

    # --- liveness --------------------------------------------------------------------------------

    def look(self, now: float, excused: float = 0.0) -> Verdict:
        """Once a second or so: ends calls that hang, builds the link of a silent connection anew, and marks
        as stale what no cycle speaks for. excused: for how long nobody could have polled."""
        if excused:
            self._liveness.excuse(excused)
            self._overdue_at += excused
        if now > self._overdue_at:
            self._cut_off(now)
        verdict = self._liveness.judge(now, [item.group.heard_ns / 1e9 for item in self._groups])
        if verdict.rebuild:
            why = next((f": {unit.error}" for unit in self._units if unit.error), "")
            self._rebuilds += self._session.interrupt(f"no data for too long, the link is built anew{why}")
        for place in verdict.stale:
            self._groups[place].grow_stale(self._clock.mono_ns(), self._clock.wall_ms())
        return verdict

    def _cut_off(self, now: float) -> None:
        """What is awaited should have come, or failed, long ago."""
        text = "a call of the driver did not end in time"
        if self._asked is not None:
            self._chronicle.unit_failed(self._asked, text)
        # Not `_expect`: whether the loop turns is for the loop itself to show.
        self._overdue_at, self._asked = inf, None
        if self._session.interrupt(text):
            self._rebuilds += 1
            self._liveness.rebuilt(now)

    def silence(self, subject: Subject, now: float) -> float | None:
        """Seconds since its last sign of life; None: this connection has no such group or unit."""
        return self._liveness.silence(subject, now)

    # --- telling ---------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        now = self._clock.monotonic()
        return (
            self._link.state == "connected"
            and all(unit.state == "answering" for unit in self._units)
            and all(self._liveness.stage(place, now) < Stage.STALE for place in range(len(self._groups)))
        )

    def latest(self) -> list[LatestValue]:
        now = self._clock.mono_ns()
        return [value for item in self._groups for value in item.latest(now)]

    def schemas(self) -> list[Schema]:
        """Of the groups, in the order of the config."""
        return [item.group.schema for item in self._groups]

    def latest_of(self, schema: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        """The newest values of some tags of one group, by their place in its schema. None of them where the
        group has another schema by now."""
        now = self._clock.mono_ns()
        return [
            value
            for item in self._groups
            if item.group.schema == schema
            for value in item.latest(now, wanted)
        ]

    def link(self) -> LinkChange:
        return self._link.seen(self._line)

    def report(self) -> ConnectionReport:
        now = self._clock.monotonic()
        return ConnectionReport(
            name=self.name,
            driver=self._line.driver_name,
            state=self._link.state,
            address=self._line.address,
            since=self._link.since_ms,
            error=self._link.error[:_TEXT],
            latency_ms=None if self._link.latency_ms is None else round(self._link.latency_ms, 3),
            overruns=sum(item.schedule.overruns for item in self._groups),
            samples=self.counts.read,
            units=[unit.report() for unit in self._units],
            groups=[
                item.report(self._liveness.stage(place, now), now) for place, item in enumerate(self._groups)
            ],
            rebuilds=self._rebuilds,
            hung_calls=self._session.left_behind,
        )
