"""From a tag and a value to the one request that writes it."""

from typing import Any

import pytest

from edge_agent.contracts.errors import ConfigError, WriteRefused
from edge_agent.drivers.xgt.write import XgtTarget, decode, encode, target
from edge_agent.wire.frame import JsonValue
from tests.unit.drivers.xgt.xgt_connections import connection


def target_of(tag: dict[str, Any] | str, **settings: Any) -> XgtTarget:
    made = connection(tag, **settings)
    return target(made, made.groups[0], made.groups[0].tags[0])


def body(tag: dict[str, Any] | str, value: JsonValue, **settings: Any) -> str:
    return encode(target_of(tag, **settings), value).hex(" ")


BIT = "58 00 00 00 00 00 01 00 "


def named(name: str) -> str:
    return f"{len(name):02x} 00 " + name.encode().hex(" ")


@pytest.mark.parametrize(
    ("address", "settings", "name"),
    [
        ("%MX1", {}, "%MX1"),
        ("M172.C", {}, "%MX2764"),
        ("M172.C", {"series": "xgb-mk"}, "%MX172C"),
        ("D100.A", {}, "%DX1610"),
        ("D100.A", {"series": "xgb-mk"}, "%DX100.A"),
        ("%QX0.1.2", {"series": "xgi"}, "%QX66"),
    ],
)
def test_a_bit_is_written_by_its_own_name(address: str, settings: dict[str, Any], name: str) -> None:
    assert body(address, True, **settings) == BIT + named(name) + " 01 00 01"
    assert body(address, False, **settings) == BIT + named(name) + " 01 00 00"


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        ("%DB201", 7, "58 00 01 00 00 00 01 00 " + named("%DB201") + " 01 00 07"),
        ("%DW100", 0x1234, "58 00 02 00 00 00 01 00 " + named("%DW100") + " 02 00 34 12"),
        ({"name": "t", "address": "%DW100", "type": "int16"}, -2,
         "58 00 02 00 00 00 01 00 " + named("%DW100") + " 02 00 fe ff"),
        ({"name": "t", "address": "%DW101", "type": "float32"}, 1.5,
         "58 00 14 00 00 00 01 00 " + named("%DB202") + " 04 00 00 00 c0 3f"),
        ({"name": "t", "address": "%DW1", "type": "string", "length": 3}, "ab",
         "58 00 14 00 00 00 01 00 " + named("%DB2") + " 03 00 61 62 00"),
        ({"name": "t", "address": "%DW1", "count": 2}, [1, 2],
         "58 00 14 00 00 00 01 00 " + named("%DB2") + " 04 00 01 00 02 00"),
    ],
)  # fmt: skip
def test_values_are_written_by_name_or_as_bytes(
    tag: dict[str, Any] | str, value: JsonValue, expected: str
) -> None:
    assert body(tag, value) == expected


@pytest.mark.parametrize(
    ("tag", "value"),
    [("%DW1", 65536), ("%DW1", 1.5), ("%DW1", "x"), ("%DW1", [1, 2]), ("%DW1", None),
     ({"name": "t", "address": "%DW1", "type": "string", "length": 3}, "abcd"),
     ({"name": "t", "address": "%DW1", "type": "string", "length": 3, "encoding": "ascii"}, "é"),
     ({"name": "t", "address": "%DW1", "type": "string", "length": 3}, 5)],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_never_sent(tag: dict[str, Any] | str, value: JsonValue) -> None:
    with pytest.raises(WriteRefused):
        body(tag, value)


@pytest.mark.parametrize(
    ("tag", "settings", "needs"),
    [
        ("status:state", {}, "nobody can write"),
        ("%TX5", {}, "contact"),
        ("%IX0.0.1", {"series": "xgi"}, "input"),
        ({"name": "t", "address": "%MX0", "count": 17}, {}, "16 bits"),
    ],
)
def test_what_can_never_be_written_is_refused_by_the_config(
    tag: dict[str, Any] | str, settings: dict[str, Any], needs: str
) -> None:
    with pytest.raises(ConfigError, match=needs):
        target_of(tag, **settings)


@pytest.mark.parametrize(
    ("tag", "data", "value"),
    [
        ("%DB201", "0007", 7),
        ("%DW100", "3412", 0x1234),
        ("M172.C", "0010", True),  # of M172 the high byte alone holds it
        ({"name": "t", "address": "M1.7", "count": 3}, "8001", [True, True, False]),
        ({"name": "t", "address": "%DW1", "type": "string", "length": 3}, "61620000", "ab"),
    ],
)
def test_what_was_written_is_read_back(tag: dict[str, Any] | str, data: str, value: JsonValue) -> None:
    made = target_of(tag)
    raw = bytes.fromhex(data)
    assert made.block.data_bytes == len(raw)
    assert decode(made, raw) == value
