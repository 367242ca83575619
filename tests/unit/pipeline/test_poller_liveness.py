"""What is connected and brings nothing: rebuilt, shown as stale, told; and what hangs harms nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_agent.contracts.driver import Plan, Reading
from edge_agent.pipeline.session import MOST_LEFT_BEHIND
from edge_agent.wire.quality import Quality, whole
from tests.unit.pipeline.plant import Plant, group


def quick(name: str, unit_id: int = 1, **more: Any) -> dict[str, Any]:
    return group(name, "1s", unit_id, liveness="20s", **more)


def codes(plant: Plant) -> list[str]:
    return [event.code for event in plant.sink.events]


@asynccontextmanager
async def hanging(plant: Plant) -> AsyncIterator[None]:
    """Lets go of calls that were left behind, so that none outlives the test."""
    try:
        yield
    finally:
        plant.driver.released.set()
        for _ in range(5):
            await asyncio.sleep(0)


# --- data, not sockets -----------------------------------------------------------------------------


async def test_tb_1641_a_link_that_is_connected_and_brings_nothing_is_built_anew_after_its_deadline() -> None:
    plant = Plant([quick("g")])
    async with plant.watched():
        await plant.clock.advance(5)
        plant.driver.moods["g"] = plant.driver.dead_unit
        opened = len(plant.driver.connects)
        await plant.clock.advance(18)
        assert len(plant.driver.connects) == opened
        await plant.clock.advance(4)
        assert len(plant.driver.connects) == opened + 1
        assert plant.poller.report().rebuilds == 1
        assert plant.state("g").state == "late"


async def test_a_silence_that_lasts_is_no_storm_of_rebuilds() -> None:
    plant = Plant([quick("g")])
    plant.driver.moods["g"] = plant.driver.dead_unit
    async with plant.watched():
        await plant.clock.advance(3600)
        assert plant.poller.report().rebuilds == len(plant.driver.connects) - 1 <= 10
    gaps = [round(later - earlier) for earlier, later in pairwise(plant.driver.connects)]
    assert gaps[:5] == [pytest.approx(20 * 2**power, abs=2) for power in range(5)]
    assert min(gaps[5:]) >= 600


async def test_a_dead_unit_costs_its_living_neighbour_no_link() -> None:
    plant = Plant([quick("dead", 1), quick("alive", 2)])
    plant.driver.moods["dead"] = plant.driver.dead_unit
    async with plant.watched():
        await plant.clock.advance(600)
        assert plant.poller.report().rebuilds == 0
        assert [plant.state(name).state for name in ("dead", "alive")] == ["silent", "live"]
        assert not plant.poller.healthy
    assert len(plant.driver.connects) == 1
    assert codes(plant) == ["unit_silent"]


async def test_a_group_that_the_device_refuses_is_bad_and_not_silent() -> None:
    """The device answers, and says itself that it has no such tag: no link would be better."""
    plant = Plant([quick("g")])

    async def refused(plan: Plan) -> Reading:
        return Reading(b"", None, whole(len(plan.schema.tags), Quality.BAD_CONFIG))

    plant.driver.moods["g"] = refused
    async with plant.watched():
        await plant.clock.advance(300)
        assert plant.state("g").state == "live"
    assert codes(plant) == []


async def test_values_that_never_change_and_are_all_held_back_are_no_silence() -> None:
    tags = [{"name": "t", "scale": 1.0, "deadband": {"absolute": 1e9}}]
    plant = Plant([quick("g", tags=tags)])
    async with plant.watched():
        await plant.clock.advance(300)
        assert plant.state("g").state == "live"
    assert len(plant.sink.of("g")) == 1
    assert codes(plant) == []


# --- one event each way ------------------------------------------------------------------------------


async def test_an_outage_is_one_event_down_and_one_back_with_its_length_and_reason() -> None:
    plant = Plant([quick("a"), quick("b")])
    async with plant.watched():
        await plant.clock.advance(5)
        plant.driver.drop()
        plant.driver.refuses = "no route to host"
        await plant.clock.advance(600)
        assert codes(plant) == ["connection_silent"]
        plant.driver.refuses = ""
        await plant.clock.advance(600)
    assert codes(plant) == ["connection_silent", "connection_back"]
    down, back = plant.sink.events
    assert down.connection == back.connection == "plc"
    assert down.message == "connection plc has brought no data for 60 s: no route to host"
    assert 600 <= back.data["seconds"] <= 616
    assert plant.state("a").state == "live"


async def test_an_outage_that_is_shorter_than_three_deadlines_is_no_event() -> None:
    plant = Plant([quick("g")])
    async with plant.watched():
        await plant.clock.advance(5)
        plant.driver.drop()
        plant.driver.refuses = "no route to host"
        await plant.clock.advance(43)
        assert plant.state("g").state == "stale"
        plant.driver.refuses = ""
        await plant.clock.advance(60)
        assert plant.state("g").state == "live"
    assert codes(plant) == []


async def test_when_only_some_come_back_the_rest_is_told_by_its_own_name() -> None:
    plant = Plant([quick("a", 1), quick("b", 2)])
    async with plant.watched():
        await plant.clock.advance(5)
        plant.driver.moods = {"a": plant.driver.dead_unit, "b": plant.driver.dead_unit}
        await plant.clock.advance(120)
        del plant.driver.moods["a"]
        await plant.clock.advance(120)
        del plant.driver.moods["b"]
        await plant.clock.advance(120)
    assert codes(plant) == ["connection_silent", "connection_back", "unit_silent", "unit_back"]
    assert plant.sink.events[2].data["unit_id"] == 2


async def test_one_silent_group_of_a_unit_that_answers_is_told_by_its_name() -> None:
    plant = Plant([quick("dead"), quick("alive")])
    plant.driver.moods["dead"] = plant.driver.dead_unit
    async with plant.watched():
        await plant.clock.advance(120)
        plant.driver.moods.clear()
        await plant.clock.advance(10)
    assert codes(plant) == ["group_silent", "group_back"]
    assert plant.sink.events[0].data["group"] == "dead"


async def test_what_a_new_config_mends_is_told_to_be_back() -> None:
    plant = Plant([quick("g")])
    plant.driver.refuses = "connection refused"
    async with plant.watched():
        await plant.clock.advance(120)
        assert codes(plant) == ["connection_silent"]
        plant.driver.refuses = ""
        plant.poller = plant.build()
        async with plant.running():
            await plant.clock.advance(5)
    assert codes(plant) == ["connection_silent", "connection_back"]


async def test_an_agent_that_stood_still_blames_nobody() -> None:
    """The process was stopped for an hour: nobody could have been heard, and nobody comes back either."""
    plant = Plant([quick("dead", 1), quick("alive", 2)])
    plant.driver.moods["dead"] = plant.driver.dead_unit
    async with plant.watched():
        await plant.clock.advance(120)
        assert codes(plant) == ["unit_silent"]
        plant.clock.stand_still(3600)
        await plant.clock.advance(30)
        assert codes(plant) == ["unit_silent"]
        assert plant.poller.report().rebuilds == 0
        assert plant.state("alive").state == "live"


# --- what hangs ------------------------------------------------------------------------------------


async def test_a_read_that_swallows_its_cancellation_is_left_behind_and_a_fresh_driver_takes_over() -> None:
    plant = Plant([group("stuck", "1s", 1), group("alive", "1s", 2)])
    plant.driver.moods["stuck"] = plant.driver.hang_for_good
    async with plant.watched(), hanging(plant):
        await plant.clock.advance(120)
        assert plant.unit(1).state in ("silent", "probing")
        assert "did not end" in plant.unit(1).error
        hung = plant.poller.report().hung_calls
        assert hung >= 3
        assert plant.made == 1 + hung
        assert plant.driver.swallowed == hung
        # Held against the unit: its breaker opens, and the neighbour is read in between.
        before = len(plant.driver.of("alive"))
        await plant.clock.advance(60)
        assert len(plant.driver.of("alive")) > before + 20


async def test_what_was_left_behind_brings_no_value_any_more() -> None:
    plant = Plant([quick("g")])
    plant.driver.moods["g"] = plant.driver.hang_for_good
    async with plant.watched(), hanging(plant):
        await plant.clock.advance(30)
        assert plant.poller.report().hung_calls == 1
        plant.driver.moods.clear()
        await plant.clock.advance(20)
        reads, frames = len(plant.driver.reads), len(plant.sink.frames)
        assert plant.state("g").state == "live"
        plant.driver.released.set()
        await plant.clock.advance(0)
        assert (len(plant.driver.reads), len(plant.sink.frames)) == (reads, frames)
        await plant.clock.advance(5)
        # One loop polls, at the old rhythm.
        assert len(plant.driver.reads) == reads + 5


async def test_calls_that_hang_for_good_do_not_pile_up_without_end() -> None:
    plant = Plant([quick("g")])
    plant.driver.moods["g"] = plant.driver.hang_for_good
    async with plant.watched(), hanging(plant):
        await plant.clock.advance(36_000)
        report = plant.poller.report()
        assert report.hung_calls == MOST_LEFT_BEHIND
        assert report.state == "down"
        assert report.error.endswith("never ended: restart the agent")
        plant.driver.moods.clear()
        plant.driver.released.set()
        await plant.clock.advance(30)
        assert plant.poller.report().state == "connected"


async def test_while_no_cycle_ends_the_last_value_is_stale_for_the_centre_too() -> None:
    """The link is built anew and does not open, nor fail: no cycle says that nothing is known any more."""
    plant = Plant([quick("g")], timeout="60s")
    async with plant.watched(), hanging(plant):
        await plant.clock.advance(3)

        async def never() -> None:
            await plant.driver.released.wait()

        plant.driver.connect = never  # type: ignore[method-assign]
        plant.driver.moods["g"] = plant.driver.hang
        await plant.clock.advance(39)
        assert plant.sink.of("g")[-1].quality == ()
        await plant.clock.advance(3)
        newest = plant.sink.of("g")[-1]
        assert newest.quality[0].quality is Quality.STALE
        assert newest.row == b""
        assert plant.latest()["g.t"] == (None, "stale")
        # Said once, and then once a minute: the first frame alone could be overlooked.
        frames = len(plant.sink.frames)
        await plant.clock.advance(55)
        assert len(plant.sink.frames) == frames
        await plant.clock.advance(10)
        assert len(plant.sink.frames) == frames + 1


@pytest.mark.parametrize("call", ["connect", "close"])
async def test_a_connect_or_close_that_swallows_its_cancellation_stops_nobody(call: str) -> None:
    plant = Plant([quick("g")])
    original: Callable[[], Awaitable[None]] = getattr(plant.driver, call)

    async def hang_once() -> None:
        setattr(plant.driver, call, original)
        while not plant.driver.released.is_set():
            try:
                await plant.driver.released.wait()
            except asyncio.CancelledError:
                plant.driver.swallowed += 1

    setattr(plant.driver, call, hang_once)
    async with plant.watched(), hanging(plant):
        plant.driver.moods["g"] = plant.driver.dead_unit
        await plant.clock.advance(60)
        plant.driver.moods.clear()
        await plant.clock.advance(90)
        assert plant.poller.report().state == "connected"
        assert plant.driver.swallowed == 1
        assert plant.poller.report().hung_calls == 1


async def test_a_driver_that_swallows_its_cancellation_does_not_keep_the_agent_from_stopping() -> None:
    plant = Plant([quick("g")])
    plant.driver.moods["g"] = plant.driver.hang_for_good
    async with hanging(plant):
        task = asyncio.create_task(plant.poller.run())
        await plant.clock.advance(3)
        task.cancel()
        await plant.clock.advance(10)
        assert task.done()
    assert plant.driver.closes == 1
    assert plant.poller.report().state == "stopped"


async def test_a_silent_connection_is_one_log_line_down_and_one_back() -> None:
    plant = Plant([quick("g")])
    with capture_logs() as lines:
        async with plant.watched():
            await plant.clock.advance(5)
            plant.driver.moods["g"] = plant.driver.dead_unit
            await plant.clock.advance(3600)
            plant.driver.moods.clear()
            await plant.clock.advance(60)
    assert [line["event"] for line in lines] == [
        "unit does not answer", "connection is down", "no data",
        "connection is back", "unit answers again", "data again",
    ]  # fmt: skip
