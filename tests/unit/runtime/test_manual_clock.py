import asyncio

import pytest

from edge_agent.contracts.clock import Clock
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.manual_clock import ManualClock


async def test_sleepers_wake_in_the_order_of_their_times_and_see_that_time() -> None:
    clock = ManualClock(monotonic=100.0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("also early", 1.0)):
            group.create_task(sleep(name, seconds))
        await clock.advance(5.0)
    assert woken == [("early", 101.0), ("also early", 101.0), ("late", 103.0)]
    assert clock.monotonic() == 105.0


async def test_a_loop_that_sleeps_again_runs_once_an_interval() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(0.5)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await clock.advance(2.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ticks == [1000.5, 1001.0, 1001.5, 1002.0]
    assert clock.sleepers == 0


async def test_time_stands_still_without_advance() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(0.001))
    await clock.advance(0)
    assert clock.sleepers == 1
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()


async def test_a_cancelled_sleeper_is_left_out() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.advance(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleepers == 0
    await clock.advance(2)


async def test_a_step_of_the_wall_clock_moves_no_duration() -> None:
    clock = ManualClock(wall_ms=5_000_000)
    clock.step_wall(-3_600_000)
    assert clock.wall_ms() == 1_400_000
    assert clock.monotonic() == 1_000.0
    await clock.advance(1.5)
    assert clock.wall_ms() == 1_401_500
    assert clock.mono_ns() == 1_001_500_000_000


async def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        await ManualClock().advance(-1)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_both_clocks_keep_their_contract(clock: Clock) -> None:
    first = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= first
    assert abs(clock.mono_ns() / 1e9 - clock.monotonic()) < 5
    assert clock.wall_ms() > 1_700_000_000_000
