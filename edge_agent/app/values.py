"""Finds tags by their names and tells their newest values: what is asked for, and nothing else.

Schemas keep no tags in memory. Names are unpacked for the groups that a search or a page needs, and what
was unpacked is kept for the next look, up to a bound.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from edge_agent.contracts.inspection import ValuePage, ValueQuery
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.schema import Schema, TagSchema

MAX_LIMIT: Final = 500
_KEPT_NAMES: Final = 200_000
_KEPT_TAGS: Final = 5_000
_NUMBERS: Final = re.compile(r"(\d+)")

Latest = Callable[[Schema, Mapping[int, TagSchema]], list[LatestValue]]


@dataclass(frozen=True, slots=True)
class _Names:
    """A group's names for comparing, and their places in the schema, in the order that people read."""

    folded: tuple[str, ...]
    places: tuple[int, ...]


class TagSearch:
    """Answers `ValueQuery`s over the groups that run. `latest` reads the values of some of their tags."""

    def __init__(self, schemas: Callable[[], Sequence[Schema]], latest: Latest) -> None:
        self._schemas = schemas
        self._latest = latest
        self._names: dict[str, _Names] = {}
        self._kept_names = 0
        self._tags: dict[tuple[str, int], TagSchema] = {}

    async def find(self, query: ValueQuery) -> ValuePage:
        """Gives the poll cycles turns between the groups."""
        items: list[LatestValue] = []
        total = 0
        first, last = query.offset, query.offset + min(query.limit, MAX_LIMIT)
        for schema in self._schemas():
            if query.connection not in (None, schema.connection):
                continue
            matching = self._matching(schema, query.text)
            shown = range(max(0, first - total), min(len(matching), last - total))
            if shown:
                items += self._values(schema, matching[shown.start : shown.stop])
            total += len(matching)
            if query.text:
                await asyncio.sleep(0)
        return ValuePage(total=total, items=items)

    def _matching(self, schema: Schema, text: str) -> Sequence[int]:
        """Places of the tags that match, in the order that people read."""
        wanted = text.casefold().strip()
        connection = schema.connection
        if not wanted or wanted in connection or wanted in schema.group:
            return _Lazy(schema.tag_count, lambda: self._names_of(schema).places)
        left, dot, right = wanted.partition(".")
        names = self._names_of(schema)
        with_dot = bool(dot) and connection.endswith(left)
        return [
            place
            for folded, place in zip(names.folded, names.places, strict=True)
            if wanted in folded or (with_dot and folded.startswith(right))
        ]

    def _names_of(self, schema: Schema) -> _Names:
        known = self._names.get(schema.hash)
        if known is None:
            names = [tag["name"] for tag in _described(schema)]
            places = sorted(range(len(names)), key=lambda place: _natural(names[place]))
            known = _Names(tuple(names[place].casefold() for place in places), tuple(places))
            if self._kept_names + len(names) > _KEPT_NAMES:
                self._names.clear()
                self._kept_names = 0
            self._names[schema.hash] = known
            self._kept_names += len(names)
        return known

    def _values(self, schema: Schema, places: Sequence[int]) -> list[LatestValue]:
        tags = self._tags_of(schema, places)
        found = self._latest(schema, tags)
        return found or [
            LatestValue(
                connection=schema.connection, group=schema.group, tag=tag.name,
                value=None, quality="stale", time=0, unit=tag.unit,
            )
            for tag in tags.values()
        ]  # fmt: skip

    def _tags_of(self, schema: Schema, places: Sequence[int]) -> dict[int, TagSchema]:
        name = schema.hash
        missing = [place for place in places if (name, place) not in self._tags]
        if missing:
            if len(self._tags) + len(missing) > _KEPT_TAGS:
                self._tags.clear()
                missing = list(places)
            described = _described(schema)
            for place in missing:
                self._tags[name, place] = TagSchema.from_json(described[place])
        return {place: self._tags[name, place] for place in places}


class _Lazy(Sequence[int]):
    """All places of a group, unpacked only where somebody looks."""

    def __init__(self, count: int, places: Callable[[], tuple[int, ...]]) -> None:
        self._count = count
        self._places = places

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._places()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places())


def _described(schema: Schema) -> list[dict[str, Any]]:
    """The tags as the canonical bytes have them: quicker than the schema's own, which are checked."""
    tags: list[dict[str, Any]] = orjson.loads(schema.canonical)["tags"]
    return tags


def _natural(name: str) -> list[tuple[int, str | int]]:
    """Orders t2 before t10."""
    parts = _NUMBERS.split(name.casefold())
    return [(0, int(part)) if place % 2 else (1, part) for place, part in enumerate(parts)]
