"""Time: when groups are polled, what lateness costs, and what a reload keeps."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from edge_agent.contracts.driver import Part
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.frame import Frame
from tests.unit.pipeline.plant import Plant, group


def walls(frames: list[Frame], plant: Plant) -> list[float]:
    """Monotonic seconds since the start at which frames were read."""
    return [round(frame.mono_ns / 1e9 - 1000, 3) for frame in frames]


async def test_groups_are_polled_at_their_own_fixed_rates() -> None:
    plant = Plant([group("fast", "250ms"), group("slow", "2s")])
    async with plant.running():
        await plant.clock.advance(10)
    fast, slow = plant.driver.of("fast"), plant.driver.of("slow")
    assert len(fast) == 41
    assert {round(b - a, 6) for a, b in pairwise(fast)} == {0.25}
    # The first of a slow group comes within a second and may lie off its grid.
    assert {round(b - a, 6) for a, b in pairwise(slow[1:])} == {2.0}
    assert slow[0] - 1000 < 1
    assert plant.poller.report().overruns == 0


async def test_a_read_that_takes_long_does_not_shift_the_grid() -> None:
    plant = Plant([group("g", "1s")])
    plant.driver.seconds["g"] = 0.9
    async with plant.running():
        await plant.clock.advance(20)
    assert [round(at - 1000, 6) for at in plant.driver.of("g")] == list(range(21))


async def test_edgex_684_reads_slower_than_the_interval_are_counted_and_never_queued() -> None:
    plant = Plant([group("g", "100ms")])
    plant.driver.seconds["g"] = 0.95
    async with plant.running():
        await plant.clock.advance(10.05)
        assert plant.poller.report().overruns == 9 * 10
        plant.driver.seconds["g"] = 0.0
        await plant.clock.advance(1)
    reads = [round(at - 1000, 3) for at in plant.driver.of("g")]
    assert reads[:11] == list(range(11))
    # Back at the old rate at once, and nothing is made up for.
    assert reads[11] == 11.0
    assert min(b - a for a, b in pairwise(reads)) >= 0.1 - 1e-6


async def test_a_stall_of_the_machine_is_followed_by_one_poll_and_not_by_a_burst() -> None:
    """The process stood still for an hour: each group is read once, then when it is due."""
    plant = Plant([group("a", "1s"), group("b", "1s")])
    async with plant.running():
        await plant.clock.advance(5)
        before = len(plant.driver.reads)
        plant.driver.seconds["a"] = 3600.0
        await plant.clock.advance(1)
        plant.driver.seconds.clear()
        await plant.clock.advance(3600)
        after = plant.driver.reads[before:]
    resumed = [at for name, at in after if at >= after[0][1] + 3600]
    assert len(resumed) <= 4
    assert 2 * 3598 <= plant.poller.report().overruns <= 2 * 3601


async def test_a_step_of_the_wall_clock_changes_no_rhythm_and_no_order() -> None:
    plant = Plant([group("g", "1s")])
    async with plant.running():
        await plant.clock.advance(2)
        plant.clock.step_wall(-86_400_000)
        await plant.clock.advance(2)
    frames = plant.sink.of("g")
    assert walls(frames, plant) == [0, 1, 2, 3, 4]
    assert [frame.n for frame in frames] == [1, 2, 3, 4, 5]
    assert frames[3].wall_ms < frames[2].wall_ms


async def test_lateness_is_counted_by_cycle() -> None:
    plant = Plant([group("a", "1s"), group("b", "1s")])
    plant.driver.seconds["a"] = 0.7
    async with plant.running():
        await plant.clock.advance(10)
    counts = dict(zip(plant.workshop.lateness.bounds_ms, plant.workshop.lateness.counts, strict=True))
    # b is due 0.155 s after a at first and 0.618 s later on, and waits until a is done.
    assert (counts[1000], counts[100]) == (1, 9)
    assert counts[1] == 11
    report = plant.workshop.lateness.report()
    assert (report.bounds_ms[-1], sum(report.counts), len(report.counts)) == (1000, sum(counts.values()), 11)


class RushingClock(ManualClock):
    """20 ms pass whenever somebody looks."""

    looks = 0

    def mono_ns(self) -> int:
        self.looks += 1
        return super().mono_ns() + self.looks * 20_000_000


async def test_a_poller_that_is_always_late_and_never_waits_starves_no_other_task() -> None:
    plant = Plant([group("g", "10ms")], clock=RushingClock())
    async with plant.running():
        for _ in range(200):
            await asyncio.sleep(0)
    assert 20 < len(plant.driver.reads) <= 200
    assert plant.poller.report().overruns > 100


async def test_stopping_closes_the_link_and_says_stopped() -> None:
    plant = Plant([group("g", "1s")])
    async with plant.running():
        await plant.clock.advance(1)
        assert plant.poller.report().state == "connected"
    assert plant.driver.closes == 1
    assert plant.poller.report().state == "stopped"
    # The last value is what it was: a stop is not an outage.
    assert plant.latest()["g.t"][1] == "good"


async def test_stopping_in_the_middle_of_a_read_leaves_nothing_behind() -> None:
    plant = Plant([group("g", "1s")])
    plant.driver.moods["g"] = plant.driver.hang
    async with plant.running():
        await plant.clock.advance(0)
        assert plant.driver.reads
    assert plant.driver.closes == 1


async def test_numbers_and_counts_go_on_in_the_poller_of_a_reload() -> None:
    tags = [{"name": "t", "deadband": {"absolute": 3}}]
    plant = Plant([group("g", "1s", tags=tags)])
    async with plant.running():
        await plant.clock.advance(10)
    before = len(plant.sink.frames)
    plant.poller = plant.build()
    async with plant.running():
        await plant.clock.advance(10)
    # FakeSink fails on a hole in the numbers, `running` on a sample too many or too few.
    assert len(plant.sink.frames) > before
    assert plant.poller.report().samples == len(plant.driver.reads)


async def test_minimum_intervals_are_counted_in_cycles_though_reads_jitter() -> None:
    tags = [{"name": "t", "deadband": {"min_interval": "5s"}}]
    plant = Plant([group("g", "1s", tags=tags)])
    async with plant.running():
        for cycle in range(31):
            plant.driver.seconds["g"] = 0.3 if cycle % 10 == 0 else 0.0
            await plant.clock.advance(1)
    assert [round(at) for at in walls(plant.sink.of("g"), plant)] == [0, 5, 10, 15, 20, 25, 30]


async def test_a_value_is_not_shown_as_good_while_the_connection_is_stuck_in_another_read() -> None:
    plant = Plant([group("a", "1s"), group("b", "1s")])
    async with plant.running():
        await plant.clock.advance(3)
        plant.driver.seconds["a"] = 8.0
        await plant.clock.advance(7)
        assert plant.latest()["b.t"][1] == "stale"
        plant.driver.seconds.clear()
        await plant.clock.advance(5)
        assert plant.latest()["b.t"][1] == "good"


@pytest.mark.parametrize("interval", ["1s", "30s"])
async def test_reports_name_the_connection_and_its_units(interval: str) -> None:
    plant = Plant([group("a", interval, 1), group("b", interval, 1), group("c", interval, 2)])
    async with plant.running():
        await plant.clock.advance(1)
        report = plant.poller.report()
        assert (report.name, report.driver, report.state) == ("plc", "fake", "connected")
        assert [(unit.unit_id, unit.groups, unit.state) for unit in report.units] == [
            (1, 2, "answering"),
            (2, 1, "answering"),
        ]
        assert plant.poller.healthy
        assert report.latency_ms == 0.0


async def test_neuron_1566_five_hundred_connections_keep_their_rhythm_though_half_are_dead() -> None:
    clock = ManualClock()
    plants = [Plant([group("g", "1s")], clock=clock) for _ in range(500)]
    for plant in plants[::2]:
        plant.driver.refuses = "connection refused"
    async with AsyncExitStack() as running:
        for plant in plants:
            await running.enter_async_context(plant.running())
        await clock.advance(10)
        assert {len(plant.driver.reads) for plant in plants[1::2]} == {11}
        assert {len(plant.driver.reads) for plant in plants[::2]} == {0}


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_was_sent_and_not_read_is_in_a_frame_before_the_connection_stops(hangs: bool) -> None:
    """A broker that has the acknowledgement of a message does not send it again."""
    plant = Plant([group("g", "10s")])
    async with plant.running():
        await plant.clock.advance(1)
        if hangs:
            plant.driver.moods["g"] = plant.driver.hang
            await plant.clock.advance(10)
        before = len(plant.sink.of("g"))
        tags = plant.poller.schemas()[0].tag_count
        plant.driver.sent["g"] = [Part(b"\1" * tags, bytes((number, 0)) * tags) for number in (7, 8)]
        plant.driver.sent_at_last["g"] = [Part(b"\1" * tags, bytes((9, 0)) * tags)]
    frames = plant.sink.of("g")[before:]
    assert [frame.row[0] for frame in frames] == [7, 8, 9]
