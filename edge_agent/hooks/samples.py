"""Between frames as the agent has them and values as people write and read them, for dry runs. Pure.

What is read of a frame is written into the same bytes again, as far as the values say all of it: a scaled
whole number comes back exactly; a scaled float may differ in its last bit.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Final

import orjson

from edge_agent.contracts.errors import ConfigError
from edge_agent.hooks.derive import RAW_SUFFIX
from edge_agent.wire.dry_run import DryFrame, DryValue
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, JsonValue, bitmap, check_json, selection
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.values import pack, read_value

Sampled = tuple[Schema, Frame]

_QUALITIES: Final = {quality.label: quality for quality in Quality}
_MOST_FLOAT32: Final = (2 - 2**-23) * 2.0**127
_INT64: Final = range(-(1 << 63), 1 << 63)
# A frame has nanoseconds, too.
_MOST_TIME_MS: Final = ((1 << 63) - 1) // 1_000_000


def frames_of(given: Sequence[DryFrame], schemas: Iterable[Mapping[str, object]]) -> list[Sampled]:
    """The frames that these values are, each with its group's schema. Numbers of frames count from 1.

    Raises ConfigError that names the value which does not fit its tag.
    """
    known = _known(schemas)
    values: dict[tuple[str, str], list[Mapping[str, JsonValue]]] = {}
    for each in given:
        values.setdefault((each.connection, each.group), []).append(each.values)
    for group, rows in values.items():
        if group not in known:
            known[group] = _guessed(group, rows)
    counts: dict[tuple[str, str], int] = {}
    found: list[Sampled] = []
    for index, each in enumerate(given):
        group = (each.connection, each.group)
        counts[group] = counts.get(group, 0) + 1
        try:
            found.append((known[group], _frame(known[group], each, counts[group])))
        except (ValueError, WireError) as error:
            raise ConfigError(f"frames[{index}].{error}") from error
    return found


def _known(schemas: Iterable[Mapping[str, object]]) -> dict[tuple[str, str], Schema]:
    known: dict[tuple[str, str], Schema] = {}
    for index, given in enumerate(schemas):
        whole = {"unit_id": None, **given}
        try:
            schema = Schema.from_bytes(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS))
        except (WireError, TypeError) as error:
            raise ConfigError(f"schemas[{index}]: {error}") from error
        known[schema.connection, schema.group] = schema
    return known


# --- types by values -----------------------------------------------------------------------------------


def _guessed(group: tuple[str, str], rows: Sequence[Mapping[str, JsonValue]]) -> Schema:
    types: dict[str, ValueType | None] = {}
    for row in rows:
        for name, value in row.items():
            found, before = _type_of(value), types.get(name)
            if found is not before or name not in types:
                types[name] = _joined(before, found)
    tags = [TagSchema(name, type_ or ValueType.FLOAT64) for name, type_ in types.items()]
    schema = Schema.of(*group, None, tags)
    try:
        schema.check()
    except WireError as error:
        raise ConfigError(f"frames of {'.'.join(group)}: {error}") from error
    return schema


def _type_of(value: JsonValue) -> ValueType | None:
    match value:
        case None:
            return None
        case bool():
            return ValueType.BOOL
        case int():
            return ValueType.INT64 if value in _INT64 else ValueType.UINT64
        case float():
            return ValueType.FLOAT64
        case str():
            return ValueType.STRING
    return ValueType.JSON


def _joined(one: ValueType | None, other: ValueType | None) -> ValueType | None:
    """What holds the values of both."""
    if one is None or other is None or one is other:
        return one or other
    numbers = {ValueType.INT64, ValueType.UINT64, ValueType.FLOAT64}
    return ValueType.FLOAT64 if {one, other} <= numbers else ValueType.JSON


# --- to a frame ----------------------------------------------------------------------------------------


def _frame(schema: Schema, given: DryFrame, n: int) -> Frame:
    values, tags = given.values, schema.tags
    if given.time > _MOST_TIME_MS:
        raise ValueError(f"time: {given.time} ms is behind the year 2262")
    for name in (*values, *given.quality):
        if schema.index(name) is None:
            group = f"{given.connection}.{given.group}"
            raise ValueError(f"values.{name}: the schema of {group} has no such tag")
    whole = not given.quality and len(values) == len(tags) and None not in values.values()
    present = [True] * len(tags) if whole else [_is_here(given, tag.name) for tag in tags]
    texts = tuple(
        None if values.get(tag.name) is None else _text(tag, values[tag.name])
        for tag in tags[schema.fixed_tags :]
    )
    return Frame(
        n=n,
        mono_ns=given.time * 1_000_000,
        wall_ms=given.time,
        row=b"".join(_rows(tags[: schema.fixed_tags], values)),
        read=sum(present),
        present=None if all(present) else bitmap(present),
        text=texts or None,
        quality=() if whole else _runs(_marks(schema, given)),
    )


def _is_here(given: DryFrame, name: str) -> bool:
    return name in given.values or name in given.quality


def _marks(schema: Schema, given: DryFrame) -> Iterator[tuple[int, Quality, bool]]:
    """Tags that are not plainly good: their place, quality, and whether they have no value."""
    for index, tag in enumerate(schema.tags):
        if not _is_here(given, tag.name):
            continue
        null = given.values.get(tag.name) is None
        quality = _quality(given, tag.name, null=null)
        if null or quality is not Quality.GOOD:
            yield index, quality, null


def _rows(tags: Sequence[TagSchema], values: Mapping[str, JsonValue]) -> Iterator[bytes]:
    """The row in pieces: neighbours of one type together. Raises ValueError."""
    for (type_, order), neighbours in groupby(tags, key=attrgetter("type", "order")):
        run, whole = list(neighbours), type_ is not ValueType.BOOL and not type_.is_float
        raws: list[int | float] = []
        for tag in run:
            value = values.get(tag.name)
            if value is None:
                raws += [0] * tag.count
            elif whole and tag.count == 1 and tag.scale == 1.0 and tag.offset == 0.0 and type(value) is int:
                raws.append(value)
            else:
                raws += _raws(tag, value)
        try:
            yield pack(type_, order, raws)
        except (OverflowError, TypeError):
            # One of them does not fit: which?
            for tag in run:
                if values.get(tag.name) is not None:
                    _packed(tag, values[tag.name])
            raise


def _quality(given: DryFrame, name: str, *, null: bool) -> Quality:
    label = given.quality.get(name, "bad_value" if null else "good")
    if label not in _QUALITIES:
        raise ValueError(f"quality.{name}: {label!r:.40} is none of {', '.join(_QUALITIES)}")
    return _QUALITIES[label]


def _runs(marks: Iterable[tuple[int, Quality, bool]]) -> tuple[QualityRun, ...]:
    runs: list[QualityRun] = []
    for index, quality, null in marks:
        last = runs[-1] if runs else None
        if last and last.first + last.count == index and (last.quality, last.null) == (quality, null):
            runs[-1] = last._replace(count=last.count + 1)
        else:
            runs.append(QualityRun(index, 1, quality, null))
    return tuple(runs)


def _text(tag: TagSchema, value: JsonValue) -> JsonValue:
    if tag.type is ValueType.STRING and not isinstance(value, str) and tag.count == 1:
        raise ValueError(f"values.{tag.name}: {value!r:.40} is no text")
    try:
        check_json(value)
    except WireError as error:
        raise ValueError(f"values.{tag.name}: {error}") from error
    return value


def _packed(tag: TagSchema, value: JsonValue) -> bytes:
    """The bytes of a tag's value. Raises ValueError."""
    raws = _raws(tag, value)
    try:
        return pack(tag.type, tag.order, raws)
    except (OverflowError, TypeError) as error:
        raise _unfit(tag, value) from error


def _raws(tag: TagSchema, value: JsonValue) -> list[int | float]:
    """Its elements as the PLC holds them. Raises ValueError."""
    values = value if isinstance(value, list) else [value]
    if len(values) != tag.count:
        raise ValueError(f"values.{tag.name}: {len(values)} elements; the tag has {tag.count}")
    try:
        return [_raw(tag, each) for each in values]
    except (OverflowError, TypeError) as error:
        raise _unfit(tag, value) from error


def _unfit(tag: TagSchema, value: JsonValue) -> ValueError:
    return ValueError(f"values.{tag.name}: {value!r:.40} does not fit {tag.type}")


def _raw(tag: TagSchema, value: JsonValue) -> int | float:
    """Raises TypeError and OverflowError for what the tag cannot have."""
    if tag.type is ValueType.BOOL:
        if value not in (0, 1):
            raise TypeError
        return int(bool(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if tag.scale == 1.0 and tag.offset == 0.0:
        raw: int | float = value
    else:
        raw = (value - tag.offset) / tag.scale if tag.scale else math.inf
        # What the tag shows for a whole number is meant to be that number.
        raw = raw if tag.type.is_float or not math.isfinite(raw) else round(raw)
    if not math.isfinite(raw) or (tag.type is ValueType.FLOAT32 and abs(raw) > _MOST_FLOAT32):
        raise OverflowError
    if tag.type.is_float:
        return raw
    if isinstance(raw, float) and not raw.is_integer():
        raise TypeError
    return int(raw)


# --- from a frame --------------------------------------------------------------------------------------


def shown(schema: Schema, frame: Frame) -> dict[str, DryValue]:
    """What a frame has of each tag that is in it, in engineering units."""
    present = selection(frame.present, schema.tag_count)
    marks = {index: run for run in frame.quality for index in range(run.first, run.first + run.count)}
    found: dict[str, DryValue] = {}
    for index, tag in enumerate(schema.tags):
        if not present[index]:
            continue
        run = marks.get(index)
        value = None if run is not None and run.null else _value(schema, frame, index)
        found[tag.name] = DryValue(value=value, quality=(run.quality if run else Quality.GOOD).label)
    return found


def _value(schema: Schema, frame: Frame, index: int) -> JsonValue:
    if index >= schema.fixed_tags:
        return None if frame.text is None else frame.text[index - schema.fixed_tags]
    data = frame.row[schema.edges[index] : schema.edges[index + 1]]
    return read_value(schema.tags[index], data) if data else None


# --- what had been through hooks -------------------------------------------------------------------------


class Originals:
    """Frames as they were before hooks, as far as they still tell.

    Of a group whose schema is known, its tags alone: from NAME.raw where `keep_raw` kept it, else from a tag
    that is the same in all but its place; what a hook replaced or dropped is not in the frame. Of another,
    all tags, with NAME.raw in the place of NAME.
    """

    def __init__(self, schemas: Iterable[Schema]) -> None:
        self._known = {(schema.connection, schema.group): schema for schema in schemas}
        self._picks: dict[str, tuple[Schema, list[int | None]]] = {}

    def of(self, sampled: Sampled) -> Sampled:
        schema, frame = sampled
        if not schema.hooks:
            return sampled
        if schema.hash not in self._picks:
            known = self._known.get((schema.connection, schema.group))
            self._picks[schema.hash] = _without_raw(schema) if known is None else _as_known(schema, known)
        target, pick = self._picks[schema.hash]
        return target, _picked(schema, frame, target, pick)


def _as_known(schema: Schema, known: Schema) -> tuple[Schema, list[int | None]]:
    pick: list[int | None] = []
    for tag in known.tags:
        kept = schema.index(tag.name + RAW_SUFFIX)
        index = schema.index(tag.name) if kept is None else kept
        same = index is not None and replace(schema.tags[index], name=tag.name) == tag
        pick.append(index if same else None)
    return known, pick


def _without_raw(schema: Schema) -> tuple[Schema, list[int | None]]:
    kept = {tag.name.removesuffix(RAW_SUFFIX) for tag in schema.tags if tag.name.endswith(RAW_SUFFIX)}
    chosen = [
        (replace(tag, name=tag.name.removesuffix(RAW_SUFFIX)), index)
        for index, tag in enumerate(schema.tags)
        if tag.name not in kept
    ]
    target = Schema.of(schema.connection, schema.group, schema.unit_id, (tag for tag, _ in chosen))
    place = {tag.name: index for tag, index in chosen}
    return target, [place[tag.name] for tag in target.tags]


def _picked(schema: Schema, frame: Frame, target: Schema, pick: Sequence[int | None]) -> Frame:
    """The frame with these of its tags, as `target` lays them out; None: not in it."""
    had = selection(frame.present, schema.tag_count)
    present = [index is not None and bool(had[index]) for index in pick]
    marks = {index: run for run in frame.quality for index in range(run.first, run.first + run.count)}
    quality = [
        (at, marks[index].quality, marks[index].null)
        for at, index in enumerate(pick)
        if index is not None and present[at] and index in marks
    ]
    edges = schema.edges
    row = b"".join(
        frame.row[edges[index] : edges[index + 1]]
        if index is not None and frame.row
        else bytes(tag.row_bytes)
        for tag, index in zip(target.tags[: target.fixed_tags], pick, strict=False)
    )
    texts = tuple(
        None if index is None or frame.text is None else frame.text[index - schema.fixed_tags]
        for index in pick[target.fixed_tags :]
    )
    return Frame(
        n=frame.n,
        mono_ns=frame.mono_ns,
        wall_ms=frame.wall_ms,
        row=row if frame.row else b"",
        read=sum(present),
        present=None if all(present) else bitmap(present),
        text=texts or None,
        quality=_runs(quality),
    )
