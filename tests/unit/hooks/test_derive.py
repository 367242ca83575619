"""What a hook makes of a group's schema."""

from typing import Any

import pytest

from edge_agent.hooks.derive import computed, declared, derive, derive_like
from edge_agent.hooks.errors import BadReply, ScriptRefused
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint, Script

GROUP = Schema.of(
    "press1", "fast", 7,
    [
        *(TagSchema(f"zone0{at}", ValueType.UINT16, Order.ABCD, scale=0.1, unit="°C") for at in (1, 2, 3)),
        TagSchema("speed", ValueType.FLOAT32), TagSchema("batch", ValueType.STRING),
    ],
    ("first@0123456789abcdef",),
)  # fmt: skip


def script(*, keep_raw: bool = False) -> Script:
    return Script(name="h", hook_type=HookPoint.TRANSFORM, source="x", keep_raw=keep_raw)


def named(outputs: dict[str, str], *, keep_raw: bool = False) -> dict[str, TagSchema]:
    made = derive(GROUP, declared(list(map(list, outputs.items()))), script(keep_raw=keep_raw)).schema
    return {tag.name: tag for tag in made.tags}


def test_a_replaced_tag_is_plain_and_keeps_its_unit_unless_another_is_named() -> None:
    tags = named({"zone[01..02]": "float32", "zone03": "float64 °F"})
    assert tags["zone01"] == TagSchema("zone01", ValueType.FLOAT32, unit="°C")
    assert tags["zone03"] == TagSchema("zone03", ValueType.FLOAT64, unit="°F")
    assert tags["speed"] == TagSchema("speed", ValueType.FLOAT32)


def test_other_tags_pass_in_their_order_and_new_ones_stand_where_their_size_belongs() -> None:
    assert list(named({"mean": "float64", "note": "string", "n": "int64"})) == [
        "mean", "n", "speed", "zone01", "zone02", "zone03", "batch", "note",
    ]  # fmt: skip


def test_a_pattern_finds_the_tags_of_the_group_and_a_name_goes_before_it() -> None:
    tags = named({"zone*": "float32", "zone02": "int8", "none*": "float64"})
    assert [tags[f"zone0{at}"].type for at in (1, 2, 3)] == [
        ValueType.FLOAT32, ValueType.INT8, ValueType.FLOAT32,
    ]  # fmt: skip
    assert len(tags) == 5


def test_originals_are_kept_beside_and_once() -> None:
    keep = script(keep_raw=True)
    first = derive(GROUP, declared([["zone*", "float32"]]), keep)
    assert first.schema.index("zone01.raw") is not None
    again = derive(first.schema, declared([["zone*", "float64"]]), keep)
    tags = {tag.name: tag for tag in again.schema.tags}
    assert tags["zone01.raw"] == TagSchema("zone01.raw", ValueType.UINT16, Order.ABCD, 1, 0.1, 0.0, "°C")
    assert (tags["zone01"].type, "zone01.raw.raw" in tags) == (ValueType.FLOAT64, False)


def test_the_schema_names_all_scripts_that_made_it() -> None:
    made = derive(GROUP, declared([]), script()).schema
    assert made.hooks == ("first@0123456789abcdef", script().mark)
    assert (made.connection, made.group, made.unit_id) == ("press1", "fast", 7)
    assert Schema.from_bytes(made.canonical) == made


def test_a_hook_without_frames_has_a_group_of_its_own() -> None:
    made = computed(declared([["sum", "float64 kWh"]]), script()).schema
    assert (made.connection, made.group, made.tags[0].unit) == ("hooks", "h", "kWh")
    with pytest.raises(ScriptRefused, match="patterns"):
        computed(declared([["sum*", "float64"]]), script())


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([["x", "float16"]], "not TYPE"), ([["x", "float32[0]"]], "array"), ([["", "int8"]], "no name"),
        ([["a\n", "int8"]], "no name"), ([["x[3..1]", "int8"]], "backwards"),
        ([["x", "int8 \x1b[2J"]], "not TYPE"), ([["x", "int8 \u202eC"]], "not TYPE"),
        ([["a[1..15000]", "int8"], ["b[1..15000]", "int8"]], "more than"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_are_refused(outputs: list[Any], why: str) -> None:
    with pytest.raises(ScriptRefused, match=why):
        declared(outputs)


def test_a_name_that_stands_twice_and_a_row_that_is_too_long_are_refused() -> None:
    with pytest.raises(ScriptRefused, match="twice"):
        derive(GROUP, declared([["x1", "int8"], ["x[1..2]", "int8"]]), script())
    with pytest.raises(ScriptRefused, match="row of"):
        derive(GROUP, declared([["x[1..60]", "float64[10000]"]]), script())


@pytest.mark.parametrize("outputs", [None, {}, [1], [["x"]], [["x", 1]], [["x", "int8", "y"]], [[]] * 6_000])
def test_what_is_no_declaration_is_a_bad_reply(outputs: object) -> None:
    with pytest.raises(BadReply):
        declared(outputs)


def test_a_group_with_the_same_tags_is_derived_as_another_was() -> None:
    outputs = declared([["zone*", "float32"], ["mean", "float64"], ["note", "string"]])
    own = script(keep_raw=True)
    like = Schema.of("press2", "slow", None, GROUP.tags, hooks=("before@1",))
    assert derive_like(derive(GROUP, outputs, own), like, own.mark) == derive(like, outputs, own)
