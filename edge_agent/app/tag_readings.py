"""Named tags' values for a command: those of the next poll, as far as one comes in time.

No request goes to a PLC that was not planned: a command can neither delay a cycle nor load a bus. So a tag's
value is fresh where its group is polled while somebody waits, else it is the newest there was.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.command_types import TagReading
from edge_agent.wire.schema import Schema, TagSchema

# Whoever asks does not wait longer for groups that are polled rarely.
MOST_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05

Latest = Callable[[Schema, Mapping[int, TagSchema]], list[LatestValue]]


class TagReadings:
    """schemas: of the groups that run. latest: the newest values of some of a group's tags."""

    def __init__(self, schemas: Sequence[Schema], latest: Latest, clock: Clock) -> None:
        self._schemas = schemas
        self._latest = latest
        self._clock = clock

    async def read(self, names: Sequence[str], seconds: float) -> list[TagReading]:
        """In the order of `names`, which are CONNECTION.TAG. Waits at most so long."""
        asked_ms = self._clock.wall_ms()
        until = self._clock.monotonic() + min(seconds, MOST_SECONDS)
        wanted = await self._find(set(names))
        while True:
            found = self._values(wanted)
            late = [value for value in found.values() if value.time < asked_ms]
            if len(found) == sum(map(len, wanted.values())) and not late:
                break
            if not wanted or self._clock.monotonic() >= until:
                break
            await self._clock.sleep(_LOOK_SECONDS)
        known = {
            f"{schema.connection}.{tag.name}" for schema, tags in wanted.items() for tag in tags.values()
        }
        return [_reading(name, found.get(name), asked_ms, is_known=name in known) for name in names]

    async def _find(self, names: set[str]) -> dict[Schema, dict[int, TagSchema]]:
        wanted: dict[Schema, dict[int, TagSchema]] = {}
        connections = {name.partition(".")[0] for name in names}
        for schema in self._schemas:
            if schema.connection not in connections:
                continue
            described: list[dict[str, Any]] = orjson.loads(schema.canonical)["tags"]
            tags = {
                place: TagSchema.from_json(tag)
                for place, tag in enumerate(described)
                if f"{schema.connection}.{tag['name']}" in names
            }
            if tags:
                wanted[schema] = tags
            await self._clock.sleep(0)  # a turn for the poll cycles
        return wanted

    def _values(self, wanted: Mapping[Schema, Mapping[int, TagSchema]]) -> dict[str, LatestValue]:
        return {
            f"{value.connection}.{value.tag}": value
            for schema, tags in wanted.items()
            for value in self._latest(schema, tags)
        }


def _reading(name: str, value: LatestValue | None, asked_ms: int, *, is_known: bool) -> TagReading:
    if value is None:
        if is_known:
            return TagReading(tag=name, quality="stale", error="it has not been read yet")
        return TagReading(tag=name, error="this device polls no such tag")
    plain = value.value
    if isinstance(plain, list | dict):
        plain = orjson.dumps(plain).decode()
    return TagReading(
        tag=name,
        value=plain,
        quality=value.quality,
        unit=value.unit,
        time=value.time,
        fresh=value.time >= asked_ms,
    )
