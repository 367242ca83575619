"""Payloads, pointers and times of MQTT messages."""

from typing import Any

import pytest

from edge_agent.drivers.mqtt.errors import Absent, BadPayload
from edge_agent.drivers.mqtt.payload import Payload, TimeFormat, time_of, value_of
from edge_agent.drivers.mqtt.pointer import parse_pointer, resolve
from edge_agent.wire.schema import ValueType


@pytest.mark.parametrize(
    ("data", "type_", "value"),
    [
        (b"21.5", ValueType.FLOAT64, 21.5),
        (b" +7 \n", ValueType.INT16, 7),
        (b"-.5e1", ValueType.FLOAT32, -5.0),
        (b"18446744073709551615", ValueType.UINT64, 18446744073709551615),
        (b"ON", ValueType.BOOL, True),
        (b"0", ValueType.BOOL, False),
        ("läuft".encode(), ValueType.STRING, "läuft"),
        (b'{"a": [1, null]}', ValueType.JSON, {"a": [1, None]}),
    ],
)
def test_plain_payloads(data: bytes, type_: ValueType, value: Any) -> None:
    found = value_of(Payload(data), None, type_, 1)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        (b"", ValueType.FLOAT64),
        (b"1_000", ValueType.INT32),
        (b"nan", ValueType.FLOAT64),
        (b"infinity", ValueType.FLOAT64),
        ("٣".encode(), ValueType.INT32),
        (b"2", ValueType.BOOL),
        (b"\xff", ValueType.STRING),
        (b"\xff", ValueType.FLOAT64),
        (b"{", ValueType.JSON),
        (b"[" * 100_000, ValueType.JSON),
        (b"1" * 5000, ValueType.FLOAT64),
    ],
)
def test_payloads_of_no_sense(data: bytes, type_: ValueType) -> None:
    with pytest.raises(BadPayload):
        value_of(Payload(data), None, type_, 1)


def test_a_text_in_json_becomes_a_number_where_the_type_is_one() -> None:
    payload = Payload(b'{"n": "21.5", "b": "off", "a": ["1", 2], "s": "21.5", "z": null}')
    assert value_of(payload, ("n",), ValueType.FLOAT32, 1) == 21.5
    assert value_of(payload, ("b",), ValueType.BOOL, 1) is False
    assert value_of(payload, ("a",), ValueType.INT16, 2) == [1, 2]
    assert value_of(payload, ("s",), ValueType.STRING, 1) == "21.5"
    with pytest.raises(BadPayload, match="null"):
        value_of(payload, ("z",), ValueType.JSON, 1)


# RFC 6901, 5.
RFC = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_the_examples_of_rfc_6901(pointer: str, value: Any) -> None:
    assert resolve(RFC, parse_pointer(pointer)) == value


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/x", "/bar", "/ /x", "/foo/²"]
)
def test_what_is_not_there_is_absent(pointer: str) -> None:
    with pytest.raises(Absent):
        resolve(RFC, parse_pointer(pointer))


@pytest.mark.parametrize(
    ("found", "time_format", "at"),
    [
        (1_795_269_600_123, TimeFormat.MS, 1_795_269_600_123),
        ("1795269600123", TimeFormat.MS, 1_795_269_600_123),
        (1_795_269_600.123, TimeFormat.S, 1_795_269_600_123),
        (1_795_269_600_123_456, TimeFormat.US, 1_795_269_600_123),
        (1_795_269_600_123_456_789, TimeFormat.NS, 1_795_269_600_123),
        ("2026-11-21T14:00:00.123Z", TimeFormat.ISO, 1_795_269_600_123),
        ("2026-11-21T15:00:00.123+01:00", TimeFormat.ISO, 1_795_269_600_123),
        ("2026-11-21 14:00:00.123", TimeFormat.ISO, 1_795_269_600_123),
    ],
)
def test_times(found: Any, time_format: TimeFormat, at: int) -> None:
    assert time_of(found, time_format) == at


@pytest.mark.parametrize(
    ("found", "time_format"),
    [
        (None, TimeFormat.MS), (True, TimeFormat.MS), ("soon", TimeFormat.MS), (float("nan"), TimeFormat.S),
        (10**18, TimeFormat.MS), (-(10**18), TimeFormat.S), ("1e999", TimeFormat.MS), ([], TimeFormat.S),
        (5, TimeFormat.ISO), ("2026-13-01", TimeFormat.ISO), ("0001-01-01T00:00:00+14:00", TimeFormat.ISO),
        ("9999-12-31T23:59:59-14:00", TimeFormat.ISO), ("x" * 1000, TimeFormat.ISO),
    ],
)  # fmt: skip
def test_times_of_no_sense(found: Any, time_format: TimeFormat) -> None:
    with pytest.raises(BadPayload):
        time_of(found, time_format)
