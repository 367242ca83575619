"""Writes between polls: before reads that are due, never twice, and nothing of them outlives a link."""

import asyncio
from typing import Any

import pytest

from edge_agent.contracts.errors import NotConnected, WriteRefused, WriteUnknown
from edge_agent.wire.frame import JsonValue
from tests.unit.pipeline.plant import FakeDriver, Plant, group, until


class WritingDriver(FakeDriver):
    """Notes what is written between its reads. mood: what a write does instead."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(plant.clock)
        self.written: list[tuple[Any, JsonValue, int]] = []
        self.mood: Exception | None = None
        self.hangs = False
        self.swallows = False
        self.write_seconds = 0.0

    async def write(self, target: Any, value: JsonValue) -> None:
        self.written.append((target, value, len(self.reads)))
        while self.swallows and not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.swallowed += 1
        await self.clock.sleep(self.write_seconds)
        if self.hangs:
            await asyncio.Event().wait()
        if self.mood is not None:
            raise self.mood

    async def read_target(self, target: Any) -> JsonValue:
        return [value for _, value, _ in self.written][-1]


class Works:
    """A plant whose driver writes; `write` is under way when it returns."""

    def __init__(self, *groups: dict[str, Any]) -> None:
        self.plant = Plant(list(groups or [group("slow", "60s")]))
        self.driver = WritingDriver(self.plant)
        self.plant.driver = self.driver
        self.plant.poller = self.plant.build()
        self.plant.poller.errands.awaited = True
        self.clock = self.plant.clock

    async def begin_a_long_read(self) -> None:
        """Of the group `a`: it takes three seconds."""
        await self.clock.advance(1.0)
        self.driver.seconds = {"a": 3.0}
        before = len(self.driver.reads)
        while len(self.driver.reads) == before:
            await self.clock.advance(0.1)

    def write(self, value: int, unit_id: int | None = 1, seconds: float = 5.0) -> "asyncio.Task[None]":
        return asyncio.create_task(self.plant.poller.writing.write(unit_id, "target", value, seconds))


async def test_a_write_wakes_a_poller_that_waits_and_polls_go_on() -> None:
    works = Works()
    async with works.plant.running():
        await works.clock.advance(1.0)
        before = len(works.driver.reads)
        writing = works.write(5)
        await works.clock.advance(0.0)
        await writing
        assert works.driver.written == [("target", 5, before)]
        assert await works.plant.poller.writing.read_target(1, "target", 5.0) == 5
        await works.clock.advance(60.0)
        assert len(works.driver.reads) == before + 1
    assert works.driver.written == [("target", 5, before)]


async def test_a_poller_that_awaited_nobody_sees_the_first_one_soon() -> None:
    works = Works()
    works.plant.poller.errands.awaited = False
    async with works.plant.running():
        await works.clock.advance(10.0)
        writing = works.write(5)
        await works.clock.advance(2.0)
        await writing
    assert len(works.driver.written) == 1


async def test_writes_go_in_their_order_and_before_reads_that_are_due() -> None:
    works = Works(group("a", "5s"), group("b", "1s"))
    async with works.plant.running():
        await works.begin_a_long_read()
        before = len(works.driver.reads)
        first, second = works.write(1), works.write(2)
        await works.clock.advance(3.0)
        await asyncio.gather(first, second)
        assert works.driver.written == [("target", 1, before), ("target", 2, before)]


async def test_writes_without_end_keep_no_group_from_being_polled() -> None:
    """A PLC that is slow, and somebody who writes again and again: 20 writes take ten seconds."""
    works = Works(group("a", "1s"))
    works.driver.write_seconds = 0.5
    async with works.plant.running():
        await works.clock.advance(1.0)
        before = len(works.driver.reads)
        writes = [works.write(number, seconds=60.0) for number in range(10)]
        await works.clock.advance(3.0)
        writes += [works.write(number, seconds=60.0) for number in range(10, 20)]
        await works.clock.advance(6.0)
        assert len(works.driver.written) < 20
        assert len(works.driver.reads) - before >= 4
        await works.clock.advance(6.0)
        await asyncio.gather(*writes)
    assert [value for _, value, _ in works.driver.written] == list(range(20))


async def test_a_write_to_a_connection_that_is_down_is_refused_at_once_and_never_sent() -> None:
    works = Works()
    works.driver.refuses = "nobody is there"
    async with works.plant.running():
        await works.clock.advance(0.01)
        with pytest.raises(NotConnected, match="nobody is there"):
            await works.write(5)
        works.driver.refuses = ""
        await works.clock.advance(30.0)
        assert works.plant.poller.report().state == "connected"
    assert works.driver.written == []


async def test_a_unit_that_does_not_answer_is_not_written() -> None:
    works = Works(group("dead", "1s", unit_id=3), group("well", "1s", unit_id=1))
    works.driver.moods["dead"] = works.driver.dead_unit
    async with works.plant.running():
        while works.plant.unit(3).state != "silent":
            await works.clock.advance(0.1)
        with pytest.raises(NotConnected, match="does not answer"):
            await works.write(5, unit_id=3)
        fine = works.write(6, unit_id=1)
        await works.clock.advance(3.0)
        await fine
    assert [value for _, value, _ in works.driver.written] == [6]


async def test_a_write_waits_no_longer_than_it_may() -> None:
    works = Works(group("a", "60s"))
    async with works.plant.running():
        await works.begin_a_long_read()
        writing = works.write(5, seconds=1.0)
        await works.clock.advance(1.5)
        with pytest.raises(NotConnected, match="turn did not come within 1 s"):
            await writing
        await works.clock.advance(10.0)
    assert works.driver.written == []


async def test_what_waits_when_the_link_is_lost_is_refused_and_not_kept_for_the_next() -> None:
    works = Works(group("a", "60s"))
    async with works.plant.running():
        await works.begin_a_long_read()
        writing = works.write(5)
        await works.clock.advance(0.1)
        works.plant.poller.resumed()
        await works.clock.advance(0.1)
        with pytest.raises(NotConnected):
            await writing
        await works.clock.advance(30.0)
    assert works.driver.written == []


@pytest.mark.parametrize(
    "mood", [WriteRefused("no"), WriteUnknown("no answer"), NotConnected("nothing was sent")]
)
async def test_what_the_driver_says_is_told_and_nothing_is_sent_again(mood: Exception) -> None:
    works = Works()
    works.driver.mood = mood
    async with works.plant.running():
        await works.clock.advance(1.0)
        writing = works.write(5)
        await works.clock.advance(0.0)
        with pytest.raises(type(mood), match=str(mood)):
            await writing
        await works.clock.advance(120.0)
        assert works.plant.poller.report().state == "connected"
    assert len(works.driver.written) == 1


async def test_a_write_under_way_when_the_poller_stops_is_unknown() -> None:
    works = Works()
    works.driver.hangs = True
    async with works.plant.running():
        await works.clock.advance(1.0)
        writing = works.write(5)
        await until(lambda: bool(works.driver.written))
    with pytest.raises(WriteUnknown):
        await writing
    assert len(works.driver.written) == 1


async def test_a_driver_that_hangs_in_a_write_for_ever_leaves_it_unknown_and_is_replaced() -> None:
    works = Works()
    works.driver.swallows = True
    async with works.plant.watched():
        await works.clock.advance(1.0)
        made = works.plant.made
        writing = works.write(5)
        await until(lambda: bool(works.driver.written))
        await works.clock.advance(60.0)
        with pytest.raises(WriteUnknown):
            await writing
        assert works.plant.made == made + 1
        works.driver.released.set()
        await works.clock.advance(1.0)
    assert len(works.driver.written) == 1


async def test_no_more_wait_than_a_bound() -> None:
    works = Works(group("a", "60s"))
    async with works.plant.running():
        await works.begin_a_long_read()
        writes = [works.write(number) for number in range(17)]
        await works.clock.advance(4.0)
        ends = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(each) for each in ends] == [*[type(None)] * 16, NotConnected]
