"""Values of protocol libraries as rows and parts: what fits is kept exactly, what does not is told."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.packing import MISSING, ChangeLog, Mark, Packer, limits
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.values import read_value

EVERY = [TagSchema(type_.value, type_) for type_ in ValueType]


def schema(*tags: TagSchema) -> Schema:
    return Schema.of("plc", "g", None, tags)


def packed(type_: ValueType, value: Any, count: int = 1) -> tuple[Any, tuple[QualityRun, ...]]:
    """What a reader sees of one value, and its quality."""
    tag = TagSchema("t", type_, count=count)
    reading = Packer(schema(tag)).reading([value])
    if reading.quality and reading.quality[0].null:
        assert not reading.row.strip(b"\0")
        return None, reading.quality
    if not type_.size:
        assert reading.text is not None
        return reading.text[0], reading.quality
    return read_value(tag, reading.row), reading.quality


BAD = (QualityRun(0, 1, Quality.BAD_VALUE),)


@pytest.mark.parametrize(
    ("type_", "value", "seen"),
    [
        (ValueType.BOOL, True, True),
        (ValueType.BOOL, 1, True),
        (ValueType.BOOL, 0.0, False),
        (ValueType.UINT8, 255, 255),
        (ValueType.INT16, -32_768, -32_768),
        (ValueType.INT32, 3.0, 3),
        (ValueType.UINT64, (1 << 64) - 1, (1 << 64) - 1),
        (ValueType.UINT16, True, 1),
        (ValueType.FLOAT32, 1.5, 1.5),
        (ValueType.FLOAT64, 7, 7.0),
        (ValueType.STRING, "밸브", "밸브"),
        (ValueType.JSON, {"a": [1, None, "b"]}, {"a": [1, None, "b"]}),
    ],
)
def test_what_fits_the_type_is_kept_exactly(type_: ValueType, value: Any, seen: Any) -> None:
    assert packed(type_, value) == (seen, ())


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (ValueType.BOOL, 2),
        (ValueType.BOOL, "true"),
        (ValueType.BOOL, [True]),
        (ValueType.UINT8, 256),
        (ValueType.UINT8, -1),
        (ValueType.INT32, 3.5),
        (ValueType.INT32, math.nan),
        (ValueType.INT32, math.inf),
        (ValueType.INT64, 1 << 63),
        (ValueType.UINT16, "12"),
        (ValueType.UINT16, b"12"),
        (ValueType.FLOAT32, 1e39),
        (ValueType.FLOAT64, "1.5"),
        (ValueType.FLOAT64, 10**400),
        (ValueType.STRING, 5),
        (ValueType.STRING, "\ud800"),
        (ValueType.STRING, "x" * 65_537),
        (ValueType.JSON, {1: 2}),
        (ValueType.JSON, {"a": math.nan}),
        (ValueType.JSON, object()),
    ],
)
def test_what_does_not_fit_is_a_bad_value_and_no_other_number(type_: ValueType, value: Any) -> None:
    assert packed(type_, value) == (None, BAD)


@pytest.mark.parametrize("type_", list(ValueType))
def test_no_value_is_bad_comm_where_nobody_said_why(type_: ValueType) -> None:
    expected = BAD if type_ is ValueType.JSON else (QualityRun(0, 1, Quality.BAD_COMM),)
    # JSON has a null of its own: it is a value.
    assert packed(type_, None) == ((None, ()) if type_ is ValueType.JSON else (None, expected))


def test_arrays_are_whole_or_bad() -> None:
    assert packed(ValueType.INT16, [1, -2, 3], count=3) == ([1, -2, 3], ())
    assert packed(ValueType.BOOL, (True, 0, 1), count=3) == ([True, False, True], ())
    for value in ([1, 2], [1, 2, 3, 4], [1, 2, 1 << 40], 5, "abc", None):
        seen, quality = packed(ValueType.INT16, value, count=3)
        assert seen is None
        assert quality


def test_a_bad_tag_is_bad_alone_and_keeps_its_status() -> None:
    made = Packer(schema(TagSchema("a", ValueType.UINT16), TagSchema("b", ValueType.UINT16), EVERY[-2]))
    marks = {
        0: Mark(Quality.BAD_DEVICE, 0x80_0A_00_00),
        2: Mark(Quality.UNCERTAIN, 0x40_00_00_00, null=False),
    }
    reading = made.reading([None, 7, "text"], marks, [None, 5_000, 5_000], {"a": "no answer"})
    assert reading.row == struct.pack("<HH", 0, 7)
    assert reading.text == ("text",)
    assert reading.quality == (
        QualityRun(0, 1, Quality.BAD_DEVICE, True, 0x80_0A_00_00),
        QualityRun(2, 1, Quality.UNCERTAIN, False, 0x40_00_00_00),
    )
    assert reading.source == (SourceRun(1, 2, 5_000),)
    assert reading.errors == {"a": "no answer"}


def test_neighbours_of_one_time_or_one_quality_are_one_run() -> None:
    made = Packer(schema(*[TagSchema(f"t{n}", ValueType.UINT8) for n in range(5)]))
    reading = made.reading([1, None, None, 4, 5], {1: MISSING, 2: MISSING}, [10, 10, 11, None, 11])
    assert reading.quality == (QualityRun(1, 2, Quality.BAD_COMM),)
    assert reading.source == (SourceRun(0, 2, 10), SourceRun(2, 1, 11), SourceRun(4, 1, 11))


def test_a_row_in_which_no_tag_has_a_value_is_empty() -> None:
    made = Packer(schema(TagSchema("a", ValueType.UINT16)))
    assert made.reading([None], {0: MISSING}).row == b""


def test_limits_are_those_of_the_type() -> None:
    assert [limits(ValueType(name)) for name in ("int8", "uint8", "int64", "uint64")] == [
        (-128, 127), (0, 255), (-(1 << 63), (1 << 63) - 1), (0, (1 << 64) - 1),
    ]  # fmt: skip


# --- changes -------------------------------------------------------------------------------------


def log(most: int = 100) -> ChangeLog:
    tags = [
        TagSchema("a", ValueType.UINT16),
        TagSchema("b", ValueType.UINT16),
        TagSchema("c", ValueType.STRING),
    ]
    return ChangeLog(schema(*tags), most)


def test_every_change_comes_once_and_each_tags_changes_in_their_order() -> None:
    changes = log()
    for tag, value, at in ((0, 1, 10), (1, 5, 11), (0, 2, 12), (2, "x", 13), (0, 3, 14)):
        changes.put(tag, value, at)
    news = changes.take().news
    assert news is not None
    assert [part.tags for part in news] == [bytes((1, 1, 1)), bytes((1, 0, 0)), bytes((1, 0, 0))]
    assert [part.row for part in news] == [struct.pack("<HH", *pair) for pair in ((1, 5), (2, 0), (3, 0))]
    assert [part.text for part in news] == [("x",), (None,), (None,)]
    assert news[0].source == (SourceRun(0, 1, 10), SourceRun(1, 1, 11), SourceRun(2, 1, 13))
    again = changes.take()
    assert (again.news, again.alive, again.lost) == ((), False, ())


def test_a_keepalive_is_a_sign_of_life_without_news() -> None:
    changes = log()
    changes.keepalive()
    assert (changes.take().alive, changes.take().alive) == (True, False)


def test_what_nobody_takes_is_bounded_and_the_oldest_goes_and_is_told() -> None:
    """tb#1445: memory from 1 to 6 GB with three OPC UA servers."""
    changes = log(most=100)
    for number in range(1_000):
        changes.put(0, number)
        assert len(changes) <= 100
    kept = len(changes)
    reading = changes.take()
    assert reading.news is not None
    values = [struct.unpack("<HH", part.row)[0] for part in reading.news]
    assert values == list(range(1_000 - kept, 1_000))
    assert reading.lost == (f"{1_000 - kept} changes: more came than could be taken",)


def test_what_is_lost_is_told_once_and_bounded() -> None:
    changes = log()
    for number in range(1_000):
        changes.lose(f"gap {number}")
    assert len(changes.take().lost) == 100
    assert changes.take().lost == ()


_CHANGE = st.tuples(st.integers(0, 2), st.one_of(st.integers(-5, 70_000), st.text(max_size=3), st.none()))


@given(st.lists(_CHANGE, max_size=40))
def test_the_parts_of_any_changes_are_those_changes(given_: list[tuple[int, Any]]) -> None:
    changes = log(most=1_000)
    for tag, value in given_:
        changes.put(tag, value, mark=MISSING if value is None else None)
    news = changes.take().news
    assert news is not None
    seen: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for part in news:
        assert any(part.tags)
        bad = {run.first + n for run in part.quality for n in range(run.count)}
        words = struct.unpack("<HH", part.row) if part.row else (0, 0)
        for tag in (place for place, there in enumerate(part.tags) if there):
            value = words[tag] if tag < 2 else (part.text or ())[0]
            seen[tag].append(None if tag in bad else value)
    fits = {
        tag: [value if _fits(tag, value) else None for at, value in given_ if at == tag] for tag in range(3)
    }
    assert seen == fits


def _fits(tag: int, value: Any) -> bool:
    return isinstance(value, str) if tag == 2 else isinstance(value, int) and 0 <= value <= 65_535
