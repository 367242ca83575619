"""Newest values as they go on: as hooks left them where hooks have a say, else as they were read.

What a script keeps back is kept back here too, so that nothing leaves the device round it.
"""

from collections.abc import Mapping

from edge_agent.app.connections import ConnectionSet
from edge_agent.app.hooks import HookRoom
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.schema import Schema, TagSchema

_Group = tuple[str, str]  # connection, group


class Seen:
    """Schemas of groups and values of their tags, by places in them."""

    def __init__(self, connections: ConnectionSet, hooks: HookRoom) -> None:
        self._connections = connections
        self._hooks = hooks

    def schemas(self) -> list[Schema]:
        made = self._made(None)
        shown = [made.pop(_group(schema), schema) for schema in self._connections.schemas()]
        return [*shown, *made.values()]

    def latest_of(self, schema: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        """Nothing where the group has another schema by now, and of tags that a script dropped."""
        group = _group(schema)
        if group in self._made(schema.connection):
            return self._hooks.latest_of(schema, wanted)
        found = self._connections.latest_of(schema, wanted)
        quality = self._hooks.quality_before(*group)
        return [_hidden(value, quality) for value in found] if quality else found

    def latest(self, connection: str | None = None) -> list[LatestValue]:
        """Of all tags of one connection, or of all; computed ones behind."""
        made = self._made(connection)
        kept: dict[_Group, str] = {}
        shown: list[LatestValue] = []
        done: set[_Group] = set()
        for value in self._connections.latest(connection):
            group = (value.connection, value.group)
            if group in made:
                shown += self._all_of(made.pop(group))
                done.add(group)
            elif group not in done:
                if group not in kept:
                    kept[group] = self._hooks.quality_before(*group)
                shown.append(_hidden(value, kept[group]) if kept[group] else value)
        for schema in made.values():
            shown += self._all_of(schema)
        return shown

    def _made(self, connection: str | None) -> dict[_Group, Schema]:
        return {
            _group(schema): schema
            for schema in self._hooks.schemas()
            if connection in (None, schema.connection)
        }

    def _all_of(self, schema: Schema) -> list[LatestValue]:
        return self._hooks.latest_of(schema, range(schema.tag_count))


def _group(schema: Schema) -> _Group:
    return schema.connection, schema.group


def _hidden(value: LatestValue, quality: str) -> LatestValue:
    return value.model_copy(update={"value": None, "quality": quality})
