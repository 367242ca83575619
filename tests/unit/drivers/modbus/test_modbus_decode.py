"""Bits and strings: what does not go into the row as it came."""

import pytest

from edge_agent.drivers.cutting import spread
from edge_agent.drivers.modbus.decode import Place, RowProgram, string


def test_bits_are_spread_lowest_first() -> None:
    assert spread(b"\x01\x80") == bytes([1] + [0] * 14 + [1])
    assert spread(b"\x00") == bytes(8)


def test_a_reply_that_is_the_row_is_not_copied() -> None:
    program = RowProgram.of([Place(0, 2), Place(2, 4)], [6])
    payload = b"abcdef"
    assert program.row(payload) is payload


def test_slices_follow_the_schema_and_not_the_addresses() -> None:
    program = RowProgram.of([Place(4, 4), Place(0, 2), Place(2, 2), Place(bits=(65, 64))], [4, 4, 1])
    assert program.row(b"aabbcccc\x01") == b"ccccaabb\x00\x01"


@pytest.mark.parametrize(
    ("data", "nbytes", "encoding", "swapped", "text"),
    [
        (b"HELLO\0\0\0", 8, "utf-8", False, "HELLO"),
        (b"HELLO   ", 8, "ascii", False, "HELLO"),
        (b"  HI    ", 8, "ascii", False, "  HI"),
        (b"EHLL\0O\0\0", 8, "ascii", True, "HELLO"),
        (b"ABCD", 3, "ascii", False, "ABC"),
        (b"OK\0\xff\xfe\0", 6, "utf-8", False, "OK"),
        ("압력".encode("cp949") + b"  ", 6, "cp949", False, "압력"),
        ("압력".encode("cp949")[:3] + b"\0", 3, "cp949", False, "압"),
        ("A1°".encode("utf-16-be"), 6, "utf-16-be", False, "A1°"),
        ("A1".encode("utf-16-be") + b"\0\0\xd8\x00", 8, "utf-16-be", False, "A1"),
        (b"\0\0", 2, "ascii", False, ""),
    ],
)
def test_strings_lose_their_padding_and_nothing_else(
    data: bytes, nbytes: int, encoding: str, swapped: bool, text: str
) -> None:
    assert string(data, nbytes, encoding, swapped=swapped) == text


@pytest.mark.parametrize("encoding", ["idna", "punycode"])
def test_a_codec_of_names_makes_a_bad_value_of_what_it_refuses(encoding: str) -> None:
    program = RowProgram.of([Place(0, 8, encoding=encoding)], [8])
    assert program.text(b"xn--a.b ") == ((None,), (0,))


def test_bytes_that_are_no_text_are_not_guessed() -> None:
    with pytest.raises(UnicodeDecodeError):
        string(b"A\xffBC", 4, "utf-8", swapped=False)
