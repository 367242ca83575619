"""Addresses as people write them, and what is said of those that are wrong."""

import pytest

from edge_agent.drivers.s7.address import Area, parse


@pytest.mark.parametrize(
    ("text", "area", "db", "number", "bit", "type_", "nbytes"),
    [
        ("DB1.DBX0.3", Area.DB, 1, 0, 3, "BOOL", 1),
        ("DB1.DBB2", Area.DB, 1, 2, 0, "BYTE", 1),
        ("db1.dbw2", Area.DB, 1, 2, 0, "WORD", 2),
        ("DB1.DBD4:REAL", Area.DB, 1, 4, 0, "REAL", 4),
        ("DB1.DBD4", Area.DB, 1, 4, 0, "DWORD", 4),
        ("DB7.DBB8:LREAL", Area.DB, 7, 8, 0, "LREAL", 8),
        ("DB7.DBD8:LREAL", Area.DB, 7, 8, 0, "LREAL", 8),
        ("DB7.8:LREAL", Area.DB, 7, 8, 0, "LREAL", 8),
        ("P#DB5.DBX10.0:DTL", Area.DB, 5, 10, 0, "DTL", 12),
        ("DB1.DBB8:STRING[20]", Area.DB, 1, 8, 0, "STRING", 22),
        ("DB1.DBB8:STRING", Area.DB, 1, 8, 0, "STRING", 256),
        ("DB1.DBB8:WSTRING[20]", Area.DB, 1, 8, 0, "WSTRING", 44),
        ("DB1.DBB8:DATE_AND_TIME", Area.DB, 1, 8, 0, "DT", 8),
        ("M10.0", Area.MARKER, 0, 10, 0, "BOOL", 1),
        ("MX10.7", Area.MARKER, 0, 10, 7, "BOOL", 1),
        ("MW20", Area.MARKER, 0, 20, 0, "WORD", 2),
        ("MB20:CHAR", Area.MARKER, 0, 20, 0, "CHAR", 1),
        ("I0.0", Area.INPUT, 0, 0, 0, "BOOL", 1),
        ("E0.1", Area.INPUT, 0, 0, 1, "BOOL", 1),
        ("EW4:INT", Area.INPUT, 0, 4, 0, "INT", 2),
        ("QB4", Area.OUTPUT, 0, 4, 0, "BYTE", 1),
        ("AW6", Area.OUTPUT, 0, 6, 0, "WORD", 2),
        ("T5", Area.TIMER, 0, 5, 0, "S5TIME", 2),
        ("T5:WORD", Area.TIMER, 0, 5, 0, "WORD", 2),
        ("C3", Area.COUNTER, 0, 3, 0, "COUNTER", 2),
        ("Z3", Area.COUNTER, 0, 3, 0, "COUNTER", 2),
        ("CPU:STATE", Area.CPU, 0, 0, 0, "BYTE", 1),
    ],
)
def test_forms(text: str, area: Area, db: int, number: int, bit: int, type_: str, nbytes: int) -> None:
    found = parse(text)
    assert (found.area, found.db, found.number, found.bit) == (area, db, number, bit)
    assert (found.type.name, found.nbytes) == (type_, nbytes)


def test_what_is_shown_is_an_address() -> None:
    for text in ("DB1.DBX0.3", "DB1.DBB8:STRING[20]", "EW4", "A0.7", "Z3", "MD4:REAL", "T5:WORD"):
        place = parse(text)
        shown = parse(str(place))
        assert (shown.area, shown.db, shown.number, shown.bit, shown.type, shown.length) == (
            place.area, place.db, place.number, place.bit, place.type, place.length,
        )  # fmt: skip


def test_german_mnemonics_are_told() -> None:
    assert [parse(text).written for text in ("E0.1", "AW6", "Z3", "I0.1", "DB1.DBW0")] == [
        "E0.1", "AW6", "Z3", "", "",
    ]  # fmt: skip


def test_a_range_counts_bits_on_into_the_next_bytes() -> None:
    found = parse("DB1.DBX0.12", carry=True)
    assert (found.number, found.bit) == (1, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DB1.DBX0.9", "0 to 7"),
        ("DB1.DBX0", "one bit"),
        ("DB1.DBW2:REAL", "write D"),
        ("DB1.DBD2:INT", "write W"),
        ("DB1.DBB2:BOOL", "one bit"),
        ("DB1.DBX0.3:INT", "whole byte"),
        ("DB1.DBB2:RAEL", "did you mean REAL"),
        ("DB1.DBB2:INT[4]", "takes count"),
        ("DB1.DBB2:STRING[300]", "1 to 254"),
        ("DB1.DBB2:", "type must follow"),
        ("DB1.8", "needs a type"),
        ("DB0.DBW0", "from DB1"),
        ("DB1.DBD65534", "last byte is 65535"),
        ("T5:INT", "S5TIME or WORD"),
        ("T70000", "0 to 65535"),
        ("DB1.DBW0..20", "is a range"),
        ("40001", "is no address"),
        ("", "is no address"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)
