"""Steps, synchronisation and sleep of the machine, as the clock section tells them, on an injected clock."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from edge_agent.app.clockwatch import ClockWatch
from edge_agent.runtime.clock import suspended_seconds
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

DAY_MS = 86_400_000


@asynccontextmanager
async def spawned(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Records:
    """A FrameSink that keeps clock records."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def append(self, schema: Schema, frame: Frame) -> None:
        raise AssertionError("the clock watch has no frames")

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        assert kind is Kind.CLOCK
        self.found.append(dict(record))

    async def announce(self, schemas: list[Schema]) -> None:
        raise AssertionError("the clock watch has no schemas")

    def told(self) -> list[tuple[str, int]]:
        return [(record["why"], record.get("step_ms", 0)) for record in self.found]


class Machine:
    """What the kernel says of sleep and of synchronisation, and how often somebody was woken."""

    def __init__(self) -> None:
        self.clock, self.sink = ManualClock(), Records()
        self.slept = 0.0
        self.sync: bool | None = True
        self.woken = 0

    async def wake(self) -> None:
        self.woken += 1

    async def run(self) -> None:
        watch = ClockWatch(self.clock, self.sink, self.wake, lambda: self.slept, lambda: self.sync)
        await watch.run()


async def test_a_step_of_a_day_either_way_is_one_record_each() -> None:
    machine = Machine()
    async with spawned(machine.run()):
        await machine.clock.advance(10)
        for step in (DAY_MS, -DAY_MS, -DAY_MS):
            machine.clock.step_wall(step)
            await machine.clock.advance(10)
    steps = [("step", DAY_MS), ("step", -DAY_MS), ("step", -DAY_MS)]
    assert machine.sink.told() == [("start", 0), *steps]
    assert machine.woken == 0


async def test_a_start_in_1970_that_is_synchronised_tells_both_clocks_before_and_after() -> None:
    machine = Machine()
    machine.sync = False
    machine.clock.step_wall(-machine.clock.wall_ms() + 5_000)
    async with spawned(machine.run()):
        await machine.clock.advance(60)
        machine.clock.step_wall(1_800_000_000_000)
        machine.sync = True
        await machine.clock.advance(5)
    first, second = machine.sink.found
    assert (first["why"], first["sync"], first["wall_ms"]) == ("start", False, 5_000)
    assert (second["why"], second["sync"], second["step_ms"]) == ("step", True, 1_800_000_000_000)
    # What was stamped in 1970 can be told right from these two, and is not altered.
    assert second["wall_ms"] - (second["mono_ns"] - first["mono_ns"]) // 10**6 == 1_800_000_005_000


async def test_a_sleep_of_the_machine_is_a_record_and_wakes_what_it_made_stale_once() -> None:
    machine = Machine()
    async with spawned(machine.run()):
        await machine.clock.advance(10)
        machine.slept += 3_600  # the monotonic clock stood still, the wall clock did not
        machine.clock.step_wall(3_600_000)
        await machine.clock.advance(30)
    assert machine.sink.told() == [("start", 0), ("resume", 3_600_000)]
    assert machine.sink.found[1]["slept_ms"] == 3_600_000
    assert machine.woken == 1


async def test_where_nothing_happens_there_is_a_record_every_ten_minutes() -> None:
    machine = Machine()
    async with spawned(machine.run()):
        await machine.clock.advance(3_605)
    assert [why for why, _ in machine.sink.told()] == ["start", *["regular"] * 6]


def test_the_time_slept_is_told_by_this_kernel() -> None:
    assert suspended_seconds() >= 0.0
