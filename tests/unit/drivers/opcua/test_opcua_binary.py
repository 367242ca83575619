"""Values of all built-in types: encoded by the library, read by our own reader."""

import struct
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.ua.ua_binary import struct_to_binary, variant_to_binary

from edge_agent.drivers.opcua.binary import DataValue, Garbled, Opaque, Reader, reshaped, time_text

ua: Any = library
_TYPE = ua.VariantType
_GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"
_MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890_120, UTC)

GOLDEN = [
    (True, _TYPE.Boolean, True),
    (-128, _TYPE.SByte, -128),
    (255, _TYPE.Byte, 255),
    (-32_768, _TYPE.Int16, -32_768),
    (65_535, _TYPE.UInt16, 65_535),
    (-(1 << 31), _TYPE.Int32, -(1 << 31)),
    ((1 << 32) - 1, _TYPE.UInt32, (1 << 32) - 1),
    (-(1 << 63), _TYPE.Int64, -(1 << 63)),
    ((1 << 64) - 1, _TYPE.UInt64, (1 << 64) - 1),
    (-1.5, _TYPE.Float, -1.5),
    (1e-300, _TYPE.Double, 1e-300),
    ("Öl 압력", _TYPE.String, "Öl 압력"),
    (None, _TYPE.String, None),
    (_MOMENT, _TYPE.DateTime, "2026-03-04T05:06:07.89012Z"),
    (uuid.UUID(_GUID), _TYPE.Guid, _GUID),
    (b"\x00\xff", _TYPE.ByteString, "AP8="),
    (ua.XmlElement("<a/>"), _TYPE.XmlElement, "<a/>"),
    (ua.NodeId(7, 0), _TYPE.NodeId, "i=7"),
    (ua.NodeId(70_000, 300), _TYPE.NodeId, "ns=300;i=70000"),
    (ua.NodeId("x", 2), _TYPE.NodeId, "ns=2;s=x"),
    (ua.NodeId(uuid.UUID(_GUID), 2), _TYPE.NodeId, f"ns=2;g={_GUID}"),
    (ua.NodeId(b"\x01\x02", 2, ua.NodeIdType.ByteString), _TYPE.NodeId, "ns=2;b=AQI="),
    (ua.StatusCode(0x80340000), _TYPE.StatusCode, 0x80340000),
    (ua.QualifiedName("Name", 2), _TYPE.QualifiedName, "2:Name"),
    (ua.QualifiedName("Name", 0), _TYPE.QualifiedName, "Name"),
    (ua.LocalizedText("Druck", "de"), _TYPE.LocalizedText, {"locale": "de", "text": "Druck"}),
    (ua.Range(1.0, 2.0), _TYPE.ExtensionObject, Opaque("i=886", struct.pack("<dd", 1.0, 2.0))),
    (None, _TYPE.ExtensionObject, None),
    ([1, 2, 3], _TYPE.UInt16, [1, 2, 3]),
    ([True, False], _TYPE.Boolean, [True, False]),
    (["a", None], _TYPE.String, ["a", None]),
    ([], _TYPE.Double, []),
    ([[1, 2, 3], [4, 5, 6]], _TYPE.Int32, [[1, 2, 3], [4, 5, 6]]),
    ([ua.Variant(1, _TYPE.Int16), ua.Variant("a", _TYPE.String)], _TYPE.Variant, [1, "a"]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "type_", "expected"), GOLDEN, ids=lambda each: repr(each)[:40])
def test_every_built_in_type_is_what_json_knows(value: Any, type_: Any, expected: Any) -> None:
    variant = ua.Variant(value, type_)
    if value and isinstance(value, list) and isinstance(value[0], list):
        variant = ua.Variant(value, type_, [2, 3])
    reader = Reader(variant_to_binary(variant))
    assert reader.variant() == expected
    assert reader.at == reader.end


def test_an_empty_variant_is_null() -> None:
    assert Reader(b"\0").variant() is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ua.DataValue(ua.Variant(1.5, _TYPE.Double), ua.StatusCode(0), _MOMENT),
         DataValue(1.5, 0, round(_MOMENT.timestamp() * 1000))),
        (ua.DataValue(None, ua.StatusCode(0x80340000)), DataValue(None, 0x80340000, None)),
        (ua.DataValue(ua.Variant(1, _TYPE.Byte), ua.StatusCode(0x40900000), _MOMENT, _MOMENT, 5, 6),
         DataValue(1, 0x40900000, round(_MOMENT.timestamp() * 1000))),
    ],
)  # fmt: skip
def test_a_data_value_has_status_and_source_time(value: Any, expected: DataValue) -> None:
    reader = Reader(struct_to_binary(value))
    assert reader.data_value() == expected
    assert reader.at == reader.end


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, None),
        (-1, None),
        (1, "1601-01-01T00:00:00.0000001Z"),
        (132_223_104_000_000_000, "2020-01-01T00:00:00Z"),
        (2_650_467_744_000_000_000, "9999-12-31T23:59:59Z"),
        ((1 << 63) - 1, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_told_as_precisely_as_they_were_sent(ticks: int, text: str | None) -> None:
    assert time_text(ticks) == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0b\x00",  # a double of one byte
        b"\x3f",  # no such type
        b"\x8b\xff\xff\xff\x7f",  # two thousand million doubles
        b"\x98" + b"\xff\xff\xff\x7f",  # and Variants
        b"\x0c\x05\x00\x00\x00ab",  # a text that ends before
        b"\x11\x09",  # a node id of no kind
        b"\x16\x00\x07\x03",  # a structure with a body of no kind
        b"\xc6\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00",  # 1 for 2×2
        b"\x18" * 100 + b"\x06\x00\x00\x00\x00",  # Variants within Variants
        b"\x19" + b"\x40" * 100,  # diagnostics within diagnostics
        b"\x95" + struct.pack("<i", 1_000_000) + bytes(1_000_000),  # texts of no bytes, an object each
    ],
)
def test_bytes_that_make_no_sense_are_refused(data: bytes) -> None:
    with pytest.raises(Garbled):
        Reader(data).variant()


def test_a_text_that_is_no_utf8_is_still_readable() -> None:
    assert Reader(b"\x0c\x03\0\0\0a\xffb").variant() == "a\N{REPLACEMENT CHARACTER}b"


def test_a_matrix_without_columns_has_empty_rows() -> None:
    assert reshaped([], [2, 0]) == []
