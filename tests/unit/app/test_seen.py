"""Newest values as hooks left them: what a script keeps back, nobody is shown round it."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from edge_agent.app.seen import Seen
from edge_agent.app.values import TagSearch
from edge_agent.contracts.inspection import ValueQuery
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.schema import Schema, TagSchema, ValueType


def schema(connection: str, group: str, *names: str) -> Schema:
    return Schema.of(connection, group, 1, [TagSchema(name, ValueType.UINT16) for name in names])


def value(connection: str, group: str, tag: str, shown: object) -> LatestValue:
    return LatestValue(connection=connection, group=group, tag=tag, value=shown, quality="good", time=1)


class Values:
    """Connections, or hooks: groups, and how their values look."""

    def __init__(self, shown: str, *schemas: Schema) -> None:
        self.shown = shown
        self.groups = list(schemas)
        self.covered: dict[tuple[str, str], str] = {}

    def schemas(self) -> list[Schema]:
        return self.groups

    def latest_of(self, schema: Schema, wanted: Iterable[int]) -> list[LatestValue]:
        if schema not in self.groups:
            return []
        names = [tag.name for tag in schema.tags]
        return [value(schema.connection, schema.group, names[place], self.shown) for place in wanted]

    def latest(self, connection: str | None) -> list[LatestValue]:
        return [
            found
            for schema in self.groups
            if connection in (None, schema.connection)
            for found in self.latest_of(schema, range(schema.tag_count))
        ]

    def quality_before(self, connection: str, group: str) -> str:
        return self.covered.get((connection, group), "")


POLLED = [schema("p", "fast", "a", "b"), schema("p", "slow", "c")]
MADE = [schema("p", "fast", "a", "a.raw", "b"), schema("hooks", "batch-id", "batch")]


def seen(hooks: Values) -> Seen:
    connections: Any = Values("read", *POLLED)
    room: Any = hooks
    return Seen(connections, room)


def shown(values: Seen, group: Schema) -> dict[str, object]:
    places: Mapping[int, TagSchema] = dict(enumerate(group.tags))
    return {each.tag: each.value for each in values.latest_of(group, places)}


def test_a_group_that_hooks_change_is_shown_as_it_goes_on_and_computed_ones_behind() -> None:
    values = seen(Values("made", *MADE))
    assert [(each.connection, each.group) for each in values.schemas()] == [
        ("p", "fast"), ("p", "slow"), ("hooks", "batch-id"),
    ]  # fmt: skip
    fast, slow, batch = values.schemas()
    assert shown(values, fast) == {"a": "made", "a.raw": "made", "b": "made"}
    assert shown(values, slow) == {"c": "read"}
    assert shown(values, batch) == {"batch": "made"}


@pytest.mark.parametrize("quality", ["stale", "bad_hook"])
def test_of_a_group_that_its_hooks_have_not_seen_nothing_is_shown(quality: str) -> None:
    """A filter that withholds would be gone round until its first flush, and while it fails."""
    hooks = Values("made")
    hooks.covered = {("p", "fast"): quality}
    values = seen(hooks)
    assert shown(values, POLLED[0]) == {"a": None, "b": None}
    assert shown(values, POLLED[1]) == {"c": "read"}
    assert [(each.tag, each.value, each.quality) for each in values.latest("p")] == [
        ("a", None, quality), ("b", None, quality), ("c", "read", "good"),
    ]  # fmt: skip


def test_all_values_are_those_that_hooks_made_in_the_places_of_their_groups() -> None:
    values = seen(Values("made", *MADE))
    assert [(each.group, each.tag, each.value) for each in values.latest()] == [
        ("fast", "a", "made"), ("fast", "a.raw", "made"), ("fast", "b", "made"), ("slow", "c", "read"),
        ("batch-id", "batch", "made"),
    ]  # fmt: skip
    assert [each.tag for each in values.latest("hooks")] == ["batch"]


async def test_a_search_finds_computed_tags() -> None:
    values = seen(Values("made", *MADE))
    found = await TagSearch(values.schemas, values.latest_of).find(ValueQuery(text="batch"))
    assert [(each.connection, each.tag, each.value) for each in found.items] == [("hooks", "batch", "made")]
