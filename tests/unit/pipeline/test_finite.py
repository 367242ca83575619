import math
import struct
from typing import Any

import pytest

from edge_agent.pipeline import finite
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.values import pack

HUGE = 1.7e308


def schema_of(*tags: TagSchema) -> Schema:
    return Schema.of("plc", "g", 1, tags)


def floats(tags: int, type_: ValueType = ValueType.FLOAT64, **more: Any) -> Schema:
    return schema_of(*(TagSchema(f"t{number}", type_, **more) for number in range(tags)))


def bad_of(schema: Schema, row: bytes) -> list[int]:
    return finite.not_finite(finite.float_runs(schema), row)


def test_huge_finite_numbers_whose_sum_overflows_stay_good() -> None:
    assert math.isinf(sum([HUGE, HUGE]))
    assert bad_of(floats(3), struct.pack("<3d", HUGE, HUGE, HUGE)) == []
    assert bad_of(floats(3), struct.pack("<3d", HUGE, HUGE, math.inf)) == [2]


def test_opposite_infinities_are_both_found() -> None:
    assert bad_of(floats(4), struct.pack("<4d", math.inf, 1.0, -math.inf, math.nan)) == [0, 2, 3]


@pytest.mark.parametrize("order", list(Order))
def test_every_byte_order_is_understood(order: Order) -> None:
    schema = floats(3, ValueType.FLOAT32, order=order)
    assert bad_of(schema, pack(ValueType.FLOAT32, order, [1.5, math.nan, -2.5])) == [1]


def test_one_bad_element_makes_its_array_bad_and_no_other() -> None:
    schema = floats(3, ValueType.FLOAT32, count=2)
    assert bad_of(schema, struct.pack("<6f", 1, 2, 3, math.inf, 5, 6)) == [1]


def test_runs_join_neighbours_and_leave_integers_out() -> None:
    schema = schema_of(
        TagSchema("a", ValueType.FLOAT32),
        TagSchema("b", ValueType.UINT32),
        TagSchema("c", ValueType.FLOAT32),
        TagSchema("d", ValueType.FLOAT32),
        TagSchema("e", ValueType.FLOAT64),
    )
    assert [(run.first, run.tags, run.offset, run.nbytes) for run in finite.float_runs(schema)] == [
        (0, 1, 0, 8),
        (1, 1, 8, 4),
        (3, 2, 16, 8),
    ]
    row = struct.pack("<d f I 2f", 1.0, 1.0, 0xFFFFFFFF, math.nan, 1.0)
    assert bad_of(schema, row) == [3]


def test_marking_zeroes_the_bytes_and_joins_the_runs() -> None:
    schema = floats(4)
    row = struct.pack("<4d", 1.0, math.nan, math.inf, 4.0)
    cleaned, _, quality = finite.mark_bad(schema, row, None, (), [1, 2])
    assert cleaned == struct.pack("<4d", 1.0, 0.0, 0.0, 4.0)
    assert quality == (QualityRun(1, 2, Quality.BAD_VALUE),)


def test_a_null_tag_keeps_its_reason_and_an_uncertain_one_becomes_bad() -> None:
    schema = floats(2)
    before = (QualityRun(0, 1, Quality.BAD_COMM), QualityRun(1, 1, Quality.UNCERTAIN, False, 0x40920000))
    row = struct.pack("<2d", math.nan, math.nan)
    _, _, quality = finite.mark_bad(schema, row, None, before, [0, 1])
    assert quality == (QualityRun(0, 1, Quality.BAD_COMM), QualityRun(1, 1, Quality.BAD_VALUE))


@pytest.mark.parametrize("value", [math.nan, [1, [2.0, math.inf]], {"a": {"b": -math.inf}}])
def test_structures_are_searched_to_the_bottom(value: Any) -> None:
    schema = schema_of(
        TagSchema("s", ValueType.STRING), TagSchema("j", ValueType.JSON), TagSchema("n", ValueType.UINT16)
    )
    indices = finite.structures(schema)
    assert finite.not_finite_texts(indices, schema.fixed_tags, ("x", {"a": [1.0, None, "nan"]})) == []
    assert finite.not_finite_texts(indices, schema.fixed_tags, ("x", value)) == [2]
    row, text, quality = finite.mark_bad(schema, b"\x01\x00", ("x", value), (), [2])
    assert (row, text) == (b"\x01\x00", ("x", None))
    assert quality == (QualityRun(2, 1, Quality.BAD_VALUE),)
