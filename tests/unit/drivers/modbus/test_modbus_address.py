"""Addresses as people write them."""

import pytest

from edge_agent.drivers.modbus.address import Address, Area, expand_address, parse


@pytest.mark.parametrize(
    ("text", "area", "number", "bit"),
    [
        ("holding:100", Area.HOLDING, 100, None),
        ("input:5", Area.INPUT, 5, None),
        ("coil:0", Area.COIL, 0, None),
        ("discrete:3", Area.DISCRETE, 3, None),
        ("Holding:65535", Area.HOLDING, 65535, None),
        ("holding:100.3", Area.HOLDING, 100, 3),
        ("input:7.15", Area.INPUT, 7, 15),
    ],
)
def test_addresses_are_zero_based_offsets(text: str, area: Area, number: int, bit: int | None) -> None:
    assert parse(text) == Address(area, number, bit)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("40001", "holding:0"),
        ("400001", "holding:0"),
        ("465536", "holding:65535"),
        ("49999", "holding:9998"),
        ("30011", "input:10"),
        ("10001", "discrete:0"),
        ("00001", "coil:0"),
        ("000017", "coil:16"),
        ("40005.7", "holding:4.7"),
    ],
)
def test_reference_numbers_of_manuals_count_from_one(text: str, meaning: str) -> None:
    address = parse(text)
    assert str(address) == meaning
    assert address.reference


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hold:5", "unknown table 'hold'; did you mean holding"),
        ("xyz:5", "unknown table 'xyz'; known: coil"),
        ("holding:65536", "from 0 to 65535"),
        ("40000", "from 1 to 65536"),
        ("465537", "from 1 to 65536"),
        ("holding:1.16", "from 0 to 15"),
        ("coil:1.1", "is one bit already"),
        ("20001", "is no address"),
        ("", "is no address"),
        ("holding:-1", "is no address"),
        ("holding:200..215", "is a range"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse(text)


@pytest.mark.parametrize(
    ("text", "index", "step", "result"),
    [
        ("holding:200..215", 0, 1, "holding:200"),
        ("holding:200..215", 3, 1, "holding:203"),
        ("holding:200..231", 3, 2, "holding:206"),
        ("coil:0..15", 15, 1, "coil:15"),
        ("holding:100.0..15", 9, 1, "holding:100.9"),
        ("00001..00016", 15, 1, "00016"),
        ("holding:7", 3, 1, "holding:7"),
    ],
)
def test_a_range_stands_in_the_last_number(text: str, index: int, step: int, result: str) -> None:
    assert expand_address(text, index, step) == result
