"""Tags read for a command: fresh where their group is polled meanwhile, else the newest, and said so."""

import asyncio
from collections.abc import Mapping

from edge_agent.app.tag_readings import MOST_SECONDS, TagReadings
from edge_agent.contracts.status import LatestValue
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.command_types import TagReading
from edge_agent.wire.schema import Schema, TagSchema, ValueType


class Groups:
    """Two groups of one connection: `fast` is polled whenever the test says, `slow` was long ago."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.read_ms = {"fast": clock.wall_ms() - 5_000, "slow": clock.wall_ms() - 60_000}
        self.schemas = [
            Schema("press1", group, None, (TagSchema(f"{group}.temp", ValueType.UINT16),))
            for group in ("fast", "slow", "new")
        ]

    def latest(self, schema: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        if schema.group not in self.read_ms:
            return []
        return [
            LatestValue(
                connection="press1", group=schema.group, tag=tag.name, value=7, quality="good",
                time=self.read_ms[schema.group], unit="°C",
            )
            for tag in wanted.values()
        ]  # fmt: skip

    async def ask(self, *names: str, seconds: float = 30.0) -> "asyncio.Task[list[TagReading]]":
        readings = TagReadings(self.schemas, self.latest, self.clock)
        task = asyncio.create_task(readings.read(names, seconds))
        await self.clock.advance(0.0)
        return task


async def test_a_value_of_the_next_poll_is_waited_for_and_no_longer() -> None:
    clock = ManualClock()
    groups = Groups(clock)
    task = await groups.ask("press1.fast.temp", "press1.nothing")
    await clock.advance(1.0)
    assert not task.done()
    groups.read_ms["fast"] = clock.wall_ms()
    await clock.advance(0.1)
    fast, nothing = task.result()
    assert (fast.value, fast.quality, fast.unit, fast.fresh) == (7, "good", "°C", True)
    assert (nothing.value, nothing.error) == (None, "this device polls no such tag")


async def test_what_is_polled_rarely_is_the_newest_there_was_with_its_time() -> None:
    clock = ManualClock()
    groups = Groups(clock)
    task = await groups.ask("press1.slow.temp", "press1.new.temp")
    await clock.advance(MOST_SECONDS + 0.1)
    slow, new = task.result()
    assert (slow.value, slow.time, slow.fresh) == (7, groups.read_ms["slow"], False)
    assert (new.quality, new.error) == ("stale", "it has not been read yet")


async def test_unknown_tags_alone_are_not_waited_for() -> None:
    groups = Groups(ManualClock())
    task = await groups.ask("press2.fast.temp")
    assert [each.error for each in task.result()] == ["this device polls no such tag"]
