"""What the clocks of a machine do: they are set, and they stand still while it sleeps."""

from itertools import pairwise

from tests.unit.pipeline.plant import Plant, group

DAY_MS = 86_400_000


async def test_a_clock_that_is_set_by_a_day_either_way_disturbs_neither_rhythm_nor_order() -> None:
    plant = Plant([group("fast", "1s")])
    async with plant.watched():
        for step in (0, DAY_MS, -DAY_MS, -DAY_MS, DAY_MS):
            plant.clock.step_wall(step)
            await plant.clock.advance(20)
            assert plant.poller.healthy
    times = plant.driver.of("fast")
    assert len(times) in (100, 101)
    assert {round(later - earlier, 3) for earlier, later in pairwise(times)} == {1.0}
    frames = plant.sink.of("fast")
    assert [frame.n for frame in frames] == list(range(1, len(frames) + 1))
    assert all(later.mono_ns > earlier.mono_ns for earlier, later in pairwise(frames))
    assert plant.poller.report().overruns == 0


async def test_a_deadband_speaks_up_after_its_longest_silence_whatever_the_wall_clock_does() -> None:
    deadband = {"absolute": 1_000_000, "max_interval": "60s"}
    plant = Plant([group("fast", "1s", tags=[{"name": "t", "deadband": deadband}])])
    async with plant.running():
        for _ in range(4):
            await plant.clock.advance(30)
            plant.clock.step_wall(-DAY_MS)
            await plant.clock.advance(30)
            plant.clock.step_wall(2 * DAY_MS)
    held = [frame.mono_ns / 1e9 for frame in plant.sink.of("fast")]
    assert 4 <= len(held) <= 5
    assert all(59 <= later - earlier <= 61 for earlier, later in pairwise(held))


async def test_a_machine_that_slept_opens_its_links_anew_and_reads_at_once() -> None:
    plant = Plant([group("slow", "1h")])
    async with plant.running():
        await plant.clock.advance(60)
        assert (len(plant.driver.connects), len(plant.driver.of("slow"))) == (1, 1)
        plant.poller.resumed()
        await plant.clock.advance(2)
        assert (len(plant.driver.connects), len(plant.driver.of("slow"))) == (2, 2)
        await plant.clock.advance(3600)
        assert len(plant.driver.of("slow")) == 3  # the grid stays where it was
    assert all(not frame.quality for frame in plant.sink.of("slow"))
    assert plant.poller.report().overruns == 0
