"""Newest values as they go on: as hooks left them where hooks have a say, else as they were read.

What a script keeps back is kept back here too, so that nothing leaves the device round it.
"""

from collections.abc import Mapping, Sequence

from edge_agent.app.connections import ConnectionSet
from edge_agent.app.hooks import HookRoom
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.schema import Schema, TagSchema


class Seen:
    """Schemas of groups and values of their tags, by places in them."""

    def __init__(self, connections: ConnectionSet, hooks: HookRoom) -> None:
        self._connections = connections
        self._hooks = hooks

    def schemas(self) -> list[Schema]:
        made = {(schema.connection, schema.group): schema for schema in self._hooks.schemas()}
        polled = self._connections.schemas()
        shown = [made.pop((schema.connection, schema.group), schema) for schema in polled]
        return [*shown, *made.values()]

    def latest_of(self, schema: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        """Nothing where the group has another schema by now, or its hooks have not seen a frame of it yet."""
        if found := self._hooks.latest_of(schema, wanted):
            return found
        if self._hooks.has_say(schema.connection, schema.group):
            return []
        return self._connections.latest_of(schema, wanted)

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        return overlaid(self._connections.latest(connection), self._hooks.latest(connection))


def overlaid(read: list[LatestValue], made: Sequence[LatestValue]) -> list[LatestValue]:
    """Those that hooks replaced in their places, computed ones behind."""
    if not made:
        return read
    by_name = {(value.connection, value.group, value.tag): value for value in made}
    shown = [by_name.pop((value.connection, value.group, value.tag), value) for value in read]
    return [*shown, *by_name.values()]
