"""What the settings accept, and what they say when they do not."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.modbus.settings import ModbusConnection, ModbusTag
from edge_agent.wire.schema import ValueType


def tag(**values: Any) -> ModbusTag:
    return ModbusTag.model_validate({"name": "t", **values})


def connection(**values: Any) -> ModbusConnection:
    base: dict[str, Any] = {"name": "press1", "driver": "modbus", "transport": {"host": "192.0.2.10"}}
    return ModbusConnection.model_validate({**base, **values})


def test_a_bit_is_a_bool_and_a_register_a_uint16_unless_told_otherwise() -> None:
    assert tag(address="coil:0").type is ValueType.BOOL
    assert tag(address="discrete:0").type is ValueType.BOOL
    assert tag(address="holding:1.3").type is ValueType.BOOL
    assert tag(address="holding:1").type is ValueType.UINT16


def test_yaml_numbers_are_reference_numbers_where_they_are_unmistakable() -> None:
    assert tag(address=40001).place.number == 0
    with pytest.raises(ValidationError, match="put the address in quotes, such as '00001'"):
        tag(address=1)


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ({"address": "holding:10"}, (10, 11)),
        ({"address": "holding:10", "type": "float32"}, (10, 12)),
        ({"address": "holding:10", "type": "int64", "count": 3}, (10, 22)),
        ({"address": "holding:10", "type": "string", "length": 5}, (10, 13)),
        ({"address": "holding:10.15", "count": 2}, (10, 12)),
        ({"address": "holding:10.15"}, (10, 11)),
        ({"address": "coil:10", "count": 9}, (10, 19)),
    ],
)
def test_the_span_is_what_must_be_read(values: dict[str, Any], span: tuple[int, int]) -> None:
    assert tag(**values).span == span


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"address": "holding:0", "type": "int8"}, "Modbus has no int8; use int16"),
        ({"address": "holding:0", "type": "json"}, "Modbus has no json"),
        ({"address": "holding:0", "type": "bool"}, "needs its bit, such as holding:0.0"),
        ({"address": "coil:0", "type": "uint16"}, "coil:0 is a bit: its type is bool"),
        ({"address": "holding:0", "type": "string"}, "a string needs its length in bytes"),
        ({"address": "holding:0", "length": 4}, "length is for strings"),
        ({"address": "holding:0", "type": "string", "length": 4, "count": 2}, "arrays of strings"),
        ({"address": "holding:0", "type": "string", "length": 4, "scale": 2}, "no scale, offset or enum"),
        ({"address": "holding:65535", "type": "uint32"}, "ends behind the last address"),
        ({"address": "holding:0", "count": 126}, "at most 125 addresses, this one 126"),
        ({"address": "holding:0", "encoding": "klingon"}, "unknown character set"),
        ({"address": "holding:0", "encoding": "hex"}, "unknown character set"),
        ({"address": "holding:0", "colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_what_can_never_work_is_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        tag(**values)


def test_an_address_range_must_hold_names_times_width() -> None:
    assert tag(address="holding:200", type="float32", step=2).width == 2
    with pytest.raises(ValidationError, match="gives each name 1, and the type takes 2"):
        tag(address="holding:200", type="float32", step=1)
    assert "step" not in tag(address="holding:200", step=1).model_dump()


def test_a_group_may_name_its_own_station() -> None:
    settings = connection(
        groups=[
            {"name": "a", "interval": "1s", "tags": [{"name": "t", "address": "coil:0"}]},
            {"name": "b", "interval": "1s", "unit_id": 7, "tags": [{"name": "t", "address": "coil:0"}]},
        ]
    )
    assert [settings.unit_of(group) for group in settings.groups] == [1, 7]


def test_unit_0_is_refused_where_it_means_everyone() -> None:
    group = {"name": "a", "interval": "1s", "unit_id": 0, "tags": [{"name": "t", "address": "coil:0"}]}
    transport = {"host": "192.0.2.10", "type": "rtu_over_tcp"}
    with pytest.raises(ValidationError, match="unit 0 is everyone"):
        connection(transport=transport, groups=[group])
    assert connection(groups=[group]).unit_of(connection(groups=[group]).groups[0]) == 0
