"""From values as protocol libraries give them to rows and parts. Pure; for drivers without raw registers.

`Packer` makes a row of a whole group's values, `ChangeLog` parts of single changes. Both take Python's own
values, make them fit the tag's type or call them bad, and leave NaN and infinity to the pipeline.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from edge_agent.contracts.driver import Part, Reading
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import JsonValue, check_json
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType

_MOST_TEXT: Final = 65_536


class Mark(NamedTuple):
    """What is to be said of a value that is not plainly good. null: there is none."""

    quality: Quality
    status: int = 0
    null: bool = True


_MISFIT: Final = Mark(Quality.BAD_VALUE)
MISSING: Final = Mark(Quality.BAD_COMM)


class _Misfit(Exception):
    """The value cannot be one of the tag's type."""


class _Change(NamedTuple):
    tag: int
    value: Any
    source_ms: int | None
    mark: Mark | None


class Packer:
    """Rows of one schema, all of whose tags are in the default byte order."""

    def __init__(self, schema: Schema) -> None:
        assert all(tag.order is Order.DCBA for tag in schema.tags), "values are packed in the default order"
        self.schema = schema
        self._fixed = schema.fixed_tags
        self._tags = schema.tags
        self._edges = schema.edges
        self._whole = struct.Struct("<" + "".join(_codes(tag) for tag in self._tags[: self._fixed]))
        self._single = [struct.Struct("<" + _codes(tag)) for tag in self._tags[: self._fixed]]
        # `struct` takes any object for a truth value, and knows no arrays of arrays.
        self._plain = all(
            tag.count == 1 and tag.type is not ValueType.BOOL for tag in self._tags[: self._fixed]
        )

    def reading(
        self,
        values: Sequence[Any],
        marks: Mapping[int, Mark] | None = None,
        source_ms: Sequence[int | None] | None = None,
        errors: Mapping[str, str] | None = None,
        *,
        unanswered: bool = False,
    ) -> Reading:
        """values: one for each tag in schema order; None: there is none, and a mark should say why."""
        found = dict(marks or {})
        row, text = self._row(values, found), self._text(values, found)
        told = dict(errors) if errors else None
        return Reading(row, text, runs_of(found), sources_of(source_ms or ()), unanswered, told)

    def part(self, changes: Iterable[_Change]) -> Part:
        """Each tag at most once."""
        chosen, row = bytearray(len(self._tags)), bytearray(self._edges[-1])
        text: list[JsonValue] = [None] * (len(self._tags) - self._fixed)
        marks: dict[int, Mark] = {}
        sources: dict[int, int] = {}
        has_row = False
        for tag, value, source_ms, mark in changes:
            chosen[tag] = 1
            if source_ms is not None:
                sources[tag] = source_ms
            if mark is not None:
                marks[tag] = mark
                if mark.null:
                    continue
            if tag < self._fixed:
                try:
                    self._pack_into(row, tag, value)
                    has_row = True
                except _Misfit:
                    marks[tag] = _MISFIT
            else:
                try:
                    text[tag - self._fixed] = fit_text(self._tags[tag], value)
                except _Misfit:
                    marks[tag] = _MISFIT
        return Part(
            bytes(chosen), bytes(row) if has_row else b"", tuple(text) if text else None,
            runs_of(marks), _source_runs(sorted(sources.items())),
        )  # fmt: skip

    def _row(self, values: Sequence[Any], marks: dict[int, Mark]) -> bytes:
        fixed = values[: self._fixed]
        if not marks and self._plain:
            try:
                return self._whole.pack(*fixed)
            except (struct.error, OverflowError):
                pass  # one of them does not fit as it is
        row = bytearray(self._edges[-1])
        has_row = False
        for tag, value in enumerate(fixed):
            mark = marks.get(tag)
            if mark is not None and mark.null:
                continue
            try:
                self._pack_into(row, tag, value)
                has_row = True
            except _Misfit:
                marks[tag] = MISSING if value is None else _MISFIT
        return bytes(row) if has_row else b""

    def _pack_into(self, row: bytearray, tag: int, value: Any) -> None:
        start = self._edges[tag]
        schema = self._tags[tag]
        if schema.count == 1 and schema.type is not ValueType.BOOL:
            try:
                self._single[tag].pack_into(row, start, value)
                return
            except (struct.error, OverflowError):
                pass  # it may fit once it is converted
        self._single[tag].pack_into(row, start, *_fitted(schema, value))

    def _text(self, values: Sequence[Any], marks: dict[int, Mark]) -> tuple[JsonValue, ...] | None:
        if self._fixed == len(self._tags):
            return None
        text: list[JsonValue] = []
        for tag in range(self._fixed, len(self._tags)):
            mark, value = marks.get(tag), None
            if mark is None or not mark.null:
                try:
                    value = fit_text(self._tags[tag], values[tag])
                except _Misfit:
                    marks[tag] = MISSING if values[tag] is None else _MISFIT
            text.append(value)
        return tuple(text)


class ChangeLog:
    """What a subscription brought and nobody has taken yet: at most `most` changes, then the oldest go."""

    def __init__(self, schema: Schema, most: int) -> None:
        self._packer = Packer(schema)
        self._most = most
        self._changes: list[_Change] = []
        self._dropped = 0
        self._alive = False
        self._lost: list[str] = []

    def put(self, tag: int, value: Any, source_ms: int | None = None, mark: Mark | None = None) -> None:
        """tag: its place in the schema. mark: None where the value is plainly good."""
        self._changes.append(_Change(tag, value, source_ms, mark))
        if len(self._changes) > self._most:
            # A quarter at once: taking one from the front of a list each time costs its length.
            gone = max(1, self._most // 4)
            del self._changes[:gone]
            self._dropped += gone

    def keepalive(self) -> None:
        """The server spoke for this subscription and had nothing new."""
        self._alive = True

    def lose(self, text: str) -> None:
        """Something cannot come any more."""
        if len(self._lost) < 100:
            self._lost.append(text)

    def __len__(self) -> int:
        return len(self._changes)

    def take(self, errors: Mapping[str, str] | None = None) -> Reading:
        """All that came since the last call, as the fewest parts in which each tag is once."""
        changes, self._changes = self._changes, []
        lost, self._lost = self._lost, []
        if self._dropped:
            lost.append(f"{self._dropped} changes: more came than could be taken")
        alive, self._alive, self._dropped = self._alive or bool(changes), False, 0
        parts = tuple(self._packer.part(each) for each in _turns(changes))
        return Reading(
            b"", errors=dict(errors) if errors else None, news=parts, alive=alive, lost=tuple(lost)
        )


def _turns(changes: Iterable[_Change]) -> list[list[_Change]]:
    """The n-th change of each tag in the n-th turn."""
    turns: list[list[_Change]] = []
    seen: dict[int, int] = {}
    for change in changes:
        turn = seen.get(change.tag, 0)
        seen[change.tag] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(change)
    return turns


def _codes(tag: TagSchema) -> str:
    code = "?" if tag.type is ValueType.BOOL else tag.type.typecode
    return code if tag.count == 1 else f"{tag.count}{code}"


def _fitted(tag: TagSchema, value: Any) -> list[Any]:
    """The tag's elements, as `struct` takes them. Raises _Misfit."""
    if tag.count == 1:
        return [fit(tag.type, value)]
    if not isinstance(value, list | tuple) or len(value) != tag.count:
        raise _Misfit
    return [fit(tag.type, each) for each in value]


def fit(type_: ValueType, value: Any) -> bool | int | float:
    """The value as one of a numeric type or bool. Raises _Misfit for anything that would change it.

    Whole floats are integers, and 0 and 1 truth values; texts are never numbers.
    """
    if isinstance(value, str | bytes) or not isinstance(value, bool | int | float):
        raise _Misfit
    if type_ is ValueType.BOOL:
        if value in (0, 1):
            return bool(value)
        raise _Misfit
    if type_.is_float:
        try:
            struct.pack("<" + type_.typecode, value)
        except (struct.error, OverflowError):
            raise _Misfit from None
        return float(value)
    if isinstance(value, float) and not value.is_integer():
        raise _Misfit
    number = int(value)
    low, high = limits(type_)
    if not low <= number <= high:
        raise _Misfit
    return number


def limits(type_: ValueType) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    bits = 8 * type_.size
    return (0, (1 << bits) - 1) if type_.value.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def fit_text(tag: TagSchema, value: Any) -> JsonValue:
    """The value of a tag that travels as JSON. Raises _Misfit."""
    if tag.type is ValueType.STRING and (not isinstance(value, str) or len(value) > _MOST_TEXT):
        raise _Misfit
    try:
        check_json(value)
    except WireError:
        raise _Misfit from None
    checked: JsonValue = value
    return checked


def blanked(schema: Schema, row: bytes, without: Iterable[int]) -> bytes:
    """The row with zeros for tags that have no value; empty where that is all of them."""
    tags = [tag for tag in without if tag < schema.fixed_tags]
    if len(tags) == schema.fixed_tags:
        return b""
    if not tags:
        return row
    found = bytearray(row)
    for tag in tags:
        start, end = schema.edges[tag : tag + 2]
        found[start:end] = bytes(end - start)
    return bytes(found)


def runs_of(marks: Mapping[int, Mark]) -> tuple[QualityRun, ...]:
    """Ascending runs, neighbours joined where they say the same."""
    runs: list[QualityRun] = []
    for tag in sorted(marks):
        mark = marks[tag]
        last = runs[-1] if runs else None
        if (
            last is not None
            and last.first + last.count == tag
            and (last.quality, last.null, last.status) == (mark.quality, mark.null, mark.status)
        ):
            runs[-1] = last._replace(count=last.count + 1)
        else:
            runs.append(QualityRun(tag, 1, mark.quality, mark.null, mark.status))
    return tuple(runs)


def sources_of(source_ms: Sequence[int | None]) -> tuple[SourceRun, ...]:
    """Ascending runs of the tags that have a source time, one for each tag in schema order."""
    return _source_runs([(tag, at) for tag, at in enumerate(source_ms) if at is not None])


def _source_runs(times: Sequence[tuple[int, int]]) -> tuple[SourceRun, ...]:
    """times: tag and UTC milliseconds, ascending by tag."""
    runs: list[SourceRun] = []
    for tag, at in times:
        last = runs[-1] if runs else None
        if last is not None and (last.first + last.count, last.time_ms) == (tag, at):
            runs[-1] = last._replace(count=last.count + 1)
        else:
            runs.append(SourceRun(tag, 1, at))
    return tuple(runs)
