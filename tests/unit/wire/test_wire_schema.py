"""Schemas: row order, canonical bytes, and what a stranger may call one."""

import hashlib
import pickle
from typing import Any

import orjson
import pytest

from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import (
    MAX_ROW_BYTES,
    MAX_SCHEMA_BYTES,
    MAX_TAGS,
    Band,
    Order,
    Schema,
    TagSchema,
    ValueType,
)

MIXED = Schema.of(
    "press1",
    "fast",
    7,
    [
        TagSchema("lot", ValueType.STRING),
        TagSchema("on", ValueType.BOOL, count=3),
        TagSchema("a", ValueType.UINT16, Order.ABCD, scale=0.1, unit="°C", enum=((1, "on"),)),
        TagSchema("curve", ValueType.FLOAT32, count=2),
        TagSchema("b", ValueType.INT16),
        TagSchema("x", ValueType.FLOAT32),
    ],
)


def changed(**fields: Any) -> bytes:
    return orjson.dumps({**orjson.loads(MIXED.canonical), **fields})


def with_tag(**fields: Any) -> bytes:
    return changed(tags=[{"name": "t", "type": "uint16", **fields}])


def test_equal_sizes_stand_together_and_arrays_behind_single_values() -> None:
    assert [tag.name for tag in MIXED.tags] == ["x", "curve", "a", "b", "on", "lot"]
    assert MIXED.bands == (Band(0, 12, 4), Band(12, 16, 2), Band(16, 19, 1))
    assert MIXED.edges.tolist() == [0, 4, 12, 14, 16, 19]
    assert (MIXED.row_bytes, MIXED.fixed_tags) == (19, 5)
    assert (MIXED.index("b"), MIXED.index("lot"), MIXED.index("none")) == (3, 5, None)


def test_the_canonical_bytes_are_these_and_name_the_schema() -> None:
    assert (
        MIXED.canonical
        == (
            '{"connection":"press1","group":"fast","tags":[{"name":"x","type":"float32"},'
            '{"count":2,"name":"curve","type":"float32"},'
            '{"enum":[[1,"on"]],"name":"a","order":"abcd","scale":0.1,"type":"uint16","unit":"°C"},'
            '{"name":"b","type":"int16"},{"count":3,"name":"on","type":"bool"},'
            '{"name":"lot","type":"string"}],"unit_id":7}'
        ).encode()
    )
    assert MIXED.hash == hashlib.sha256(MIXED.canonical).hexdigest()
    assert Schema.from_bytes(MIXED.canonical) == MIXED


def test_fields_of_a_later_agent_are_not_lost_from_the_name() -> None:
    data = with_tag(color="red")
    schema = Schema.from_bytes(data)
    assert schema.tags == (TagSchema("t", ValueType.UINT16),)
    assert (schema.canonical, schema.hash) == (data, hashlib.sha256(data).hexdigest())


def test_tags_out_of_row_order_are_refused() -> None:
    tags = orjson.loads(MIXED.canonical)["tags"]
    with pytest.raises(WireError, match="row order"):
        Schema.from_bytes(changed(tags=tags[::-1]))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b"7", b'"x"', b"\xff", b"[" * 5000, changed(tags=[]), changed(tags={}),
        changed(tags=[[]]), changed(tags=["name"]), changed(tags=None), changed(connection=1),
        changed(group=None), changed(unit_id="1"), changed(unit_id=True), changed(unit_id=-1),
        changed(unit_id=1.5), with_tag(name=""), with_tag(name="n" * 1001), with_tag(name=None),
        with_tag(type="uint24"), with_tag(type=[]), with_tag(order="acbd"), with_tag(order={}),
        with_tag(count=0), with_tag(count=65_537), with_tag(count=True), with_tag(count=1.0),
        with_tag(count="3"), with_tag(scale="1"), with_tag(scale=None), with_tag(scale=False),
        with_tag(offset=[]), with_tag(unit=5), with_tag(enum=[[1]]), with_tag(enum=[["1", "on"]]),
        with_tag(enum=[[1, 2]]), with_tag(enum=[[1.5, "on"]]), with_tag(enum=5), with_tag(enum=[5]),
        changed(tags=[{"type": "uint16"}]), changed(tags=[{"name": "t", "type": "uint16"}] * 2),
        with_tag(scale=float("inf")).replace(b"null", b"1e999"),
    ],
)  # fmt: skip
def test_what_is_no_schema(data: bytes) -> None:
    with pytest.raises(WireError):
        Schema.from_bytes(data)


def test_a_schema_beyond_its_bounds() -> None:
    tag = {"name": "t", "type": "uint64", "count": 65_536}
    wide = [{**tag, "name": f"t{index}"} for index in range(MAX_ROW_BYTES // (8 * 65_536) + 1)]
    assert Schema.from_bytes(changed(tags=wide[:-1])).row_bytes == MAX_ROW_BYTES
    with pytest.raises(WireError, match="row of"):
        Schema.from_bytes(changed(tags=wide))
    with pytest.raises(WireError, match="holds at most"):
        Schema.from_bytes(b" " * (MAX_SCHEMA_BYTES + 1))


def test_a_schema_is_checked_before_it_is_announced() -> None:
    def uint16(count: int) -> Schema:
        return Schema.of("c", "g", 1, [TagSchema(f"t{index}", ValueType.UINT16) for index in range(count)])

    uint16(20_000).check()
    with pytest.raises(WireError, match="holds at most"):
        uint16(MAX_TAGS).check()
    with pytest.raises(WireError, match="1 to 65536 tags"):
        uint16(0).check()
    with pytest.raises(WireError, match="1 to 65536 tags"):
        uint16(MAX_TAGS + 1).check()


def test_a_pickled_schema_is_the_same_and_carries_its_tags_once() -> None:
    many = Schema.of("c", "g", 1, [TagSchema(f"tag {index}", ValueType.UINT16) for index in range(1_000)])
    pickled = pickle.dumps(many)
    copy = pickle.loads(pickled)
    assert (copy, copy.hash, copy.tags) == (many, many.hash, many.tags)
    assert (copy.bands, copy.edges, copy.tag_count) == (many.bands, many.edges, many.tag_count)
    assert len(pickled) < len(many.canonical) + 8 * many.tag_count + 1_000


def test_a_group_with_the_same_tags_is_made_without_a_look_at_them() -> None:
    """Its names may look like the place where the tags stand."""
    odd = ',"tags":[1],"unit_id":2'
    tags = [TagSchema(odd, ValueType.UINT16), TagSchema("b", ValueType.STRING, unit=odd)]
    one = Schema.of("press1", odd, 1, tags)
    for other in (Schema.of(odd, "fast", None, tags), Schema.of("p", "g", 3, tags, hooks=(odd, "b@1"))):
        made = one.of_group(other.connection, other.group, other.unit_id, other.hooks)
        assert (made, made.hash, made.tags) == (other, other.hash, other.tags)
        assert (made.bands, made.edges, made.tag_count) == (other.bands, other.edges, other.tag_count)
        assert made.tags_hash == one.tags_hash == other.tags_hash
    assert one.tags_hash != Schema.of("press1", odd, 1, tags[:1]).tags_hash
    large = Schema.of(
        "p", "g", 1, [TagSchema(f"t{at}", ValueType.INT8, unit="u" * 90) for at in range(7_990)]
    )
    with pytest.raises(WireError, match="a schema holds at most"):
        large.of_group("p" * (MAX_SCHEMA_BYTES - len(large.canonical)), "longer", 1)
