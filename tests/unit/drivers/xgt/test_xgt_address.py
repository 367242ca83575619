"""Addresses as people write them."""

import pytest

from edge_agent.drivers.xgt.address import Address, locate, parse


@pytest.mark.parametrize(
    ("text", "area", "byte", "bit"),
    [
        ("%DW100", "D", 200, None),
        ("DW100", "D", 200, None),
        ("D100", "D", 200, None),
        ("D00100", "D", 200, None),
        ("%DB2468", "D", 2468, None),  # XGL-EFMF manual 7.1, note 3: D1234
        ("%DD50", "D", 200, None),
        ("%DL25", "D", 200, None),
        ("%MX2764", "M", 345, 4),  # note 4: bit C of M172
        ("M172.C", "M", 345, 4),
        ("m172.c", "M", 345, 4),
        ("M172.12", "M", 345, 4),
        ("%MW172.C", "M", 345, 4),
        ("D100.0", "D", 200, 0),
        ("D100.08", "D", 201, 0),
        ("%IX0.0.0", "I", 0, 0),
        ("%IX0.1.2", "I", 8, 2),
        ("%QW1.0.3", "Q", 134, None),
        ("%WW5", "W", 10, None),
        ("%LL1", "L", 8, None),
        ("L10", "L", 20, None),
    ],
)
def test_addresses_name_bytes_and_bits(text: str, area: str, byte: int, bit: int | None) -> None:
    assert locate(text, hex_bits=False) == Address(area, byte, bit)


@pytest.mark.parametrize(
    ("text", "byte", "bit"),
    [("%MX172C", 345, 4), ("%MXC", 1, 4), ("%PX10", 2, 0), ("%KX0F", 1, 7), ("M172.C", 345, 4)],
)
def test_with_hexadecimal_bits_the_last_digit_is_the_bit(text: str, byte: int, bit: int) -> None:
    assert locate(text, hex_bits=True) == Address(text.lstrip("%")[0], byte, bit)


def test_contacts_are_counted_by_timer_whatever_the_bits() -> None:
    for hex_bits in (False, True):
        assert locate("%TX12", hex_bits=hex_bits) == Address("T", 12, None, contact=True)
    assert locate("%TW12", hex_bits=False) == Address("T", 24)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("holding:100", "no address"),
        ("%DW", "no address"),
        ("%MW1A", "hexadecimal"),
        ("%MX5.3", "behind a word"),
        ("%DD5.3", "behind a word"),
        ("D100.16", "no address"),
        ("%DW1..5", "range"),
        ("U1.5", "linear"),
        ("%IX0.16.0", "slots"),
        ("%IX0.0.64", "64 points"),
        ("%IW0.0.4", "64 points"),
        ("%MX0.1.2", "no address"),
    ],
)
def test_what_is_no_address_is_refused_with_the_right_form(text: str, needs: str) -> None:
    with pytest.raises(ValueError, match=needs):
        parse(text)


@pytest.mark.parametrize(("text", "needs"), [("%MX1F", "bit_index: hex"), ("%DW99999999", "as long")])
def test_some_addresses_are_refused_by_what_they_mean(text: str, needs: str) -> None:
    with pytest.raises(ValueError, match=needs):
        locate(text, hex_bits=False)


@pytest.mark.parametrize("text", ["%DW100", "%DB201", "M172.C", "D201.0", "%TX5"])
def test_an_address_says_what_it_is(text: str) -> None:
    assert str(locate(text, hex_bits=False)) == text
    assert locate(str(locate(text, hex_bits=False)), hex_bits=False) == locate(text, hex_bits=False)
