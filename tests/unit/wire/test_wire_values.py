"""Values, frames' bitmaps, and JSON that may travel."""

import math

import pytest

from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import MAX_DEPTH, Frame, JsonValue, bitmap, check_depth, check_json, selection
from edge_agent.wire.quality import Quality, QualityRun, whole
from edge_agent.wire.schema import Order, TagSchema, ValueType
from edge_agent.wire.values import engineering, pack, read_value


@pytest.mark.parametrize(
    ("tag", "raw", "value"),
    [
        (TagSchema("t", ValueType.UINT16), 7, 7),
        (TagSchema("t", ValueType.UINT64), (1 << 64) - 1, (1 << 64) - 1),
        (TagSchema("t", ValueType.BOOL), 1, True),
        (TagSchema("t", ValueType.BOOL, scale=2.0), 0, False),
        (TagSchema("t", ValueType.INT16, scale=0.1), 3, 0.3),
        (TagSchema("t", ValueType.INT16, scale=0.01), -2007, -20.07),
        (TagSchema("t", ValueType.INT16, offset=-40.0), 3, -37.0),
        (TagSchema("t", ValueType.FLOAT64), -0.1, -0.1),
        (TagSchema("t", ValueType.FLOAT32), math.nan, None),
        (TagSchema("t", ValueType.FLOAT32), -math.inf, None),
        (TagSchema("t", ValueType.FLOAT64, scale=10.0), 1.7e308, None),
        (TagSchema("t", ValueType.FLOAT64, scale=0.5), math.nan, None),
        (TagSchema("t", ValueType.FLOAT64, offset=1.0), 1.7976931348623157e308, 1.7976931348623157e308),
    ],
)
def test_engineering_values(tag: TagSchema, raw: int | float, value: JsonValue) -> None:
    found = engineering(tag, raw)
    assert (found, type(found)) == (value, type(value))


def test_a_tag_is_read_from_its_bytes() -> None:
    single = TagSchema("t", ValueType.UINT32, Order.CDAB, scale=0.5)
    assert read_value(single, pack(ValueType.UINT32, Order.CDAB, [70_001])) == 35_000.5
    several = TagSchema("t", ValueType.INT8, count=3)
    assert read_value(several, b"\x01\xff\x80") == [1, -1, -128]


def test_bitmaps_have_the_first_tag_in_the_lowest_bit() -> None:
    assert bitmap([1, 0, 0, 0, 0, 0, 0, 0, 1]) == b"\x01\x01"
    assert bitmap([]) == b""
    assert selection(b"\x01\x01", 9) == [1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert selection(None, 3) == [1, 1, 1]


def test_a_frame_counts_its_samples() -> None:
    assert Frame(1, 1, 1, b"", read=30, suppressed=28).samples == 2


def test_qualities_are_named_as_in_the_api() -> None:
    assert [quality.label for quality in Quality] == [
        "good", "uncertain", "stale", "bad_config", "bad_device", "bad_comm", "bad_value", "bad_hook",
    ]  # fmt: skip
    assert whole(3, Quality.BAD_COMM, 5) == (QualityRun(0, 3, Quality.BAD_COMM, True, 5),)
    assert whole(0, Quality.BAD_COMM) == ()


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value", [None, True, 0, (1 << 64) - 1, -(1 << 63), 1.5, "프레스", [], {}, nested(MAX_DEPTH)]
)
def test_what_may_travel(value: JsonValue) -> None:
    check_json(value)


@pytest.mark.parametrize(
    "value",
    [
        1 << 64, -(1 << 63) - 1, math.nan, math.inf, "\ud800", b"x", {1, 2}, object(), {1: 2},
        {"a": [math.nan]}, {"\ud800": 1}, [[1 << 64]], nested(MAX_DEPTH + 1),
    ],
)  # fmt: skip
def test_what_may_not_travel(value: object) -> None:
    with pytest.raises(WireError):
        check_json(value)


def test_depth_is_counted_in_lists_tuples_and_objects() -> None:
    check_depth(nested(MAX_DEPTH))
    check_depth([nested(3)] * 1000)
    for value in (nested(MAX_DEPTH + 1), (nested(MAX_DEPTH),), [[nested(MAX_DEPTH)], 1]):
        with pytest.raises(WireError, match="nested more than 64"):
            check_depth(value)
