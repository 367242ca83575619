"""What a connection, a group and a tag may be."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.xgt.settings import UdpTransport, XgtTag
from edge_agent.wire.schema import ValueType
from tests.unit.drivers.xgt.xgt_connections import connection


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("%MX5", ValueType.BOOL), ("D100.3", ValueType.BOOL), ("%TX5", ValueType.BOOL),
        ("%DB5", ValueType.UINT8), ("D5", ValueType.UINT16), ("%DD5", ValueType.UINT32),
        ("%DL5", ValueType.UINT64), ("status:state", ValueType.UINT8), ("status:error", ValueType.BOOL),
    ],
)  # fmt: skip
def test_the_address_says_the_type(address: str, kind: ValueType) -> None:
    assert XgtTag.model_validate({"name": "t", "address": address}).type is kind


def test_a_state_has_names() -> None:
    tag = XgtTag.model_validate({"name": "t", "address": "status:state"})
    assert tag.enum[1] == "run"
    assert tag.enum[2] == "stop"


@pytest.mark.parametrize(
    ("tag", "needs"),
    [
        ({"address": "%DW5", "type": "bool"}, "needs its bit"),
        ({"address": "%MX5", "type": "uint16"}, "its type is bool"),
        ({"address": "%DD5", "type": "uint16"}, "4 bytes"),
        ({"address": "%DW5", "type": "uint8"}, "2 bytes"),
        ({"address": "%DW5", "type": "json"}, "no JSON"),
        ({"address": "%DW5", "type": "string"}, "needs its length"),
        ({"address": "%DW5", "length": 4, "type": "uint16"}, "length is for strings"),
        ({"address": "%DW5", "length": 4, "type": "string", "count": 2}, "arrays of strings"),
        ({"address": "%DW5", "length": 4, "type": "string", "scale": 2}, "no scale"),
        ({"address": "%DW5", "length": 4, "type": "string", "encoding": "klingon"}, "character set"),
        ({"address": "%DW5", "count": 701}, "1400 bytes"),
        ({"address": "%TX5", "count": 2}, "contacts"),
        ({"address": "status:state", "type": "uint16"}, "is one uint8"),
        ({"address": "status:weather"}, "no such status"),
        ({"address": "%DW5", "type": "float32", "step": 1}, "gives each name 1"),
        ({"address": "%SW5"}, "no area S"),
        ({"address": "%IW5"}, "no area I"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tag: dict[str, Any], needs: str) -> None:
    with pytest.raises(ValidationError, match=needs):
        connection({"name": "t", **tag})


def test_areas_are_those_of_the_series() -> None:
    for series in ("xgi", "xgr", "xgb-iec"):
        assert connection("%IX0.1.2", "%QW5", "%WW9", series=series)
        with pytest.raises(ValidationError, match="no area D"):
            connection("%DW5", series=series)
    for series in ("xgk", "xgb-mk"):
        assert connection("%PW1", "%DW5", "%TW2", "%ZW1", series=series)


def test_what_the_series_does_not_have_is_told_at_its_tag() -> None:
    with pytest.raises(ValidationError) as refused:
        connection("%MW5", "%DW5", "%MX1F", "status:state", series="xgi")
    assert [error["loc"] for error in refused.value.errors()] == [
        ("groups", 0, "tags", 1, "address"), ("groups", 0, "tags", 2, "address"),
    ]  # fmt: skip


def test_only_xgb_mk_names_bits_by_hexadecimal_digits_unless_told() -> None:
    assert connection(series="xgb-mk").hex_bits
    assert not connection(series="xgk").hex_bits
    assert connection(series="xgk", bit_index="hex").hex_bits
    assert not connection(series="xgb-mk", bit_index="decimal").hex_bits
    with pytest.raises(ValidationError, match="bit_index: hex"):
        connection("%MX1F")


def test_a_range_of_hexadecimal_bits_is_refused() -> None:
    """%MX9, %MX10 would be bit 9 of one word and bit 0 of the next."""
    with pytest.raises(ValidationError, match="counts decimally"):
        connection({"name": "t", "address": "%MX10", "step": 1}, series="xgb-mk")
    assert connection({"name": "t", "address": "M1.10", "step": 1}, series="xgb-mk")


def test_transports_have_their_ports_and_there_are_no_units() -> None:
    assert connection().transport.port == 2004
    udp = connection(transport={"type": "udp", "host": "192.0.2.10"}).transport
    assert isinstance(udp, UdpTransport)
    assert udp.port == 2005
    group = {"name": "g", "interval": "1s", "unit_id": 1, "tags": [{"name": "t", "address": "D1"}]}
    with pytest.raises(ValidationError, match="no units"):
        connection(groups=[group])
