"""The newest value of each tag as frames brought it, laid together only when somebody looks.

A frame that has every tag makes all before it superfluous. Of frames that have some, those are kept that
still say something, and when they become many, what the old ones say is kept tag by tag.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from edge_agent.contracts.status import LatestValue
from edge_agent.wire.frame import Frame, JsonValue
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema
from edge_agent.wire.values import read_value

_MOST_PARTS: Final = 32

Group = tuple[str, str]  # (connection, group)


class Newest(NamedTuple):
    """value: in engineering units; None where the quality is bad."""

    value: JsonValue
    quality: Quality
    time: int


class GroupValues:
    """Of one group, as long as its schema stays."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        # The newest first, each with the tags that no newer one has.
        self._parts: list[tuple[int, Frame]] = []
        self._old: dict[int, Newest] = {}

    def note(self, frame: Frame) -> None:
        """Frames come in the order of their numbers."""
        if frame.present is None:
            self._parts, self._old = [((1 << self.schema.tag_count) - 1, frame)], {}
            return
        fresh = int.from_bytes(frame.present, "little")
        left = [(mask & ~fresh, part) for mask, part in self._parts if mask & ~fresh]
        if len(left) >= _MOST_PARTS:
            tags = self.schema.tags
            for mask, part in reversed(left):
                self._old |= {index: _read(part, self.schema, tags, index) for index in _bits(mask)}
            left = []
        self._parts = [(fresh, frame), *left]

    @property
    def frames(self) -> list[Frame]:
        """Those that are kept, the oldest first."""
        return [frame for _, frame in reversed(self._parts)]

    def find(self, index: int) -> Newest | None:
        for mask, frame in self._parts:
            if mask >> index & 1:
                return _read(frame, self.schema, self.schema.tags, index)
        return self._old.get(index)

    def all(self, wanted: Iterable[int]) -> dict[int, Newest]:
        found = {index: self.find(index) for index in wanted}
        return {index: value for index, value in found.items() if value is not None}


def _bits(mask: int) -> list[int]:
    digits = format(mask, "b")[::-1]
    return [index for index, digit in enumerate(digits) if digit == "1"]


def _read(frame: Frame, schema: Schema, tags: tuple[TagSchema, ...], index: int) -> Newest:
    mark = _mark(frame.quality, index)
    quality = Quality.GOOD if mark is None else mark.quality
    if mark is not None and mark.null:
        return Newest(None, quality, frame.wall_ms)
    if index >= schema.fixed_tags:
        value = None if frame.text is None else frame.text[index - schema.fixed_tags]
        return Newest(value, quality, frame.wall_ms)
    start, end = schema.edges[index], schema.edges[index + 1]
    value = read_value(tags[index], frame.row[start:end]) if frame.row else None
    return Newest(value, quality, frame.wall_ms)


def _mark(runs: tuple[QualityRun, ...], index: int) -> QualityRun | None:
    for run in runs:
        if run.first + run.count > index:
            return run if run.first <= index else None
    return None


class Values:
    """Of all groups. A group whose schema changes begins anew."""

    def __init__(self) -> None:
        self._groups: dict[Group, GroupValues] = {}

    def note(self, group: Group, schema: Schema, frame: Frame) -> None:
        known = self._groups.get(group)
        if known is None or (known.schema is not schema and known.schema.hash != schema.hash):
            known = self._groups[group] = GroupValues(schema)
        known.note(frame)

    def forget(self, groups: Iterable[Group]) -> None:
        for group in groups:
            self._groups.pop(group, None)

    @property
    def groups(self) -> Mapping[Group, GroupValues]:
        return self._groups


class Made:
    """What hooks have made of groups: of each its values now, with the schema under which they go on."""

    def __init__(self) -> None:
        self._values: dict[Group, GroupValues] = {}
        self._failed: dict[Group, Frame] = {}

    def note(self, group: Group, raw: Schema, schema: Schema, frame: Frame) -> None:
        """raw: as it was read; of computed groups, one without tags."""
        if schema is raw:
            # A hook failed, and none after it has changed the frame.
            if group in self._values:
                self._failed[group] = frame
            return
        known = self._values.get(group)
        if known is None or known.schema is not schema:
            known = self._values[group] = GroupValues(schema)
        self._failed.pop(group, None)
        known.note(frame)

    @property
    def groups(self) -> list[Group]:
        return list(self._values)

    def keep(self, groups: Iterable[Group]) -> None:
        """Forgets all others: hooks have no say in them any more."""
        for group in self._values.keys() - set(groups):
            del self._values[group]
            self._failed.pop(group, None)

    def schemas(self) -> list[Schema]:
        """Of groups that hooks changed, as their frames go on."""
        return [values.schema for values in self._values.values()]

    def latest_of(self, schema: Schema, wanted: Iterable[int]) -> list[LatestValue]:
        """Of some tags, by their places in one of `schemas`; nothing where that is another by now.

        Where a hook fails now, they have no value."""
        group = (schema.connection, schema.group)
        values = self._values.get(group)
        return [] if values is None or values.schema.hash != schema.hash else self._of(group, values, wanted)

    def _of(self, group: Group, values: GroupValues, wanted: Iterable[int]) -> list[LatestValue]:
        tags, failed = values.schema.tags, self._failed.get(group)
        newest = values.all(wanted)
        return [
            LatestValue(
                connection=group[0],
                group=group[1],
                tag=tags[index].name,
                value=value.value if failed is None else None,
                quality=(value.quality if failed is None else Quality.BAD_HOOK).label,
                time=value.time if failed is None else failed.wall_ms,
                unit=tags[index].unit,
            )
            for index, value in newest.items()
        ]
