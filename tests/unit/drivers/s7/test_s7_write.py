"""The bytes that a value is written with, and what is refused before anything is sent."""

import pytest

from edge_agent.contracts.errors import Unsupported, WriteRefused
from edge_agent.drivers.s7.address import parse
from edge_agent.drivers.s7.write import Change, S7Target, decode, encode
from edge_agent.wire.frame import JsonValue


def made(address: str, count: int = 1) -> S7Target:
    return S7Target(parse(address), count, "latin-1", 480)


@pytest.mark.parametrize(
    ("address", "count", "value", "change"),
    [
        ("DB1.DBX4.3", 1, True, Change(4, 3, b"\1")),
        ("M10.0", 1, False, Change(10, 0, b"\0")),
        ("DB1.DBW2:INT", 1, -2, Change(2, None, bytes.fromhex("fffe"))),
        ("DB1.DBB2", 1, 255, Change(2, None, b"\xff")),
        ("DB1.DBD4:REAL", 1, 1.5, Change(4, None, bytes.fromhex("3fc00000"))),
        ("DB1.DBW2", 3, [1, 2, 3], Change(2, None, bytes.fromhex("000100020003"))),
        ("DB1.DBW2:S5TIME", 1, 12_500, Change(2, None, bytes.fromhex("1125"))),
        ("DB1.DBW2:COUNTER", 1, 123, Change(2, None, bytes.fromhex("0123"))),
        ("DB1.DBB8:STRING[5]", 1, "ab", Change(9, None, b"\2ab")),
        ("DB1.DBB8:WSTRING[5]", 1, "한", Change(10, None, bytes.fromhex("0001d55c"))),
        ("DB1.DBB8:CHAR", 4, "ab", Change(8, None, b"ab\0\0")),
    ],
)
def test_changes(address: str, count: int, value: JsonValue, change: Change) -> None:
    assert encode(made(address, count), value) == change


@pytest.mark.parametrize(
    ("address", "count", "value"),
    [
        ("DB1.DBX4.3", 1, 2),
        ("DB1.DBX4.3", 1, "true"),
        ("DB1.DBX4.3", 1, [True]),
        ("DB1.DBW2:INT", 1, 32_768),
        ("DB1.DBW2:INT", 1, 1.5),
        ("DB1.DBW2:INT", 1, "1"),
        ("DB1.DBW2:INT", 1, None),
        ("DB1.DBW2", 3, [1, 2]),
        ("DB1.DBW2:S5TIME", 1, 5),
        ("DB1.DBW2:COUNTER", 1, 1000),
        ("DB1.DBB8:STRING[5]", 1, "abcdef"),
        ("DB1.DBB8:STRING[5]", 1, "한"),
        ("DB1.DBB8:STRING[5]", 1, 5),
        ("DB1.DBB8:CHAR", 2, "abc"),
    ],
)
def test_what_does_not_fit_is_refused(address: str, count: int, value: JsonValue) -> None:
    with pytest.raises(WriteRefused, match=r"\w"):
        encode(made(address, count), value)


def test_what_is_read_back() -> None:
    assert decode(made("DB1.DBX4.3"), b"\x08") is True
    assert decode(made("DB1.DBW2", 2), bytes.fromhex("00010002")) == [1, 2]
    assert decode(made("DB1.DBB8:STRING[5]"), b"\5\2ab\0\0\0") == "ab"
    with pytest.raises(Unsupported, match="BCD"):
        decode(made("DB1.DBW2:COUNTER"), b"\xff\xff")
