"""What does not fit is refused before anything is sent."""

import math

import pytest

from edge_agent.contracts.errors import WriteRefused
from edge_agent.drivers.writable import bits_of, packed, padded
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order, ValueType


@pytest.mark.parametrize("value", ["off", 2, [True, "0"], [True, True, True], None, [[0], 1]])
def test_only_truth_values_are_bits(value: JsonValue) -> None:
    with pytest.raises(WriteRefused):
        bits_of(value, 2 if isinstance(value, list) else 1)


def test_a_tag_of_one_value_takes_no_list() -> None:
    with pytest.raises(WriteRefused):
        bits_of([True], 1)


def test_truth_values_are_bits() -> None:
    assert bits_of([True, 0, 1.0], 3) == [True, False, True]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (ValueType.FLOAT32, 1e300), (ValueType.FLOAT32, math.nan), (ValueType.FLOAT64, math.inf),
        (ValueType.INT16, 32_768), (ValueType.UINT16, -1), (ValueType.UINT16, 1.5), (ValueType.INT16, "1"),
        (ValueType.INT16, [1, 2]), (ValueType.INT16, None),
    ],
)  # fmt: skip
def test_numbers_that_the_type_does_not_have_are_refused(type_: ValueType, value: JsonValue) -> None:
    with pytest.raises(WriteRefused):
        packed(type_, Order.DCBA, 1, value)


def test_numbers_stand_in_the_order_of_the_tag() -> None:
    assert packed(ValueType.UINT32, Order.ABCD, 2, [1, 2]) == bytes.fromhex("0000000100000002")
    assert packed(ValueType.FLOAT32, Order.DCBA, 1, 1.0) == bytes.fromhex("0000803f")


def test_a_text_fills_its_field_and_is_never_cut() -> None:
    assert padded("ab", "ascii", 4) == b"ab\0\0"
    with pytest.raises(WriteRefused, match="5 bytes"):
        padded("abcde", "ascii", 4)
    with pytest.raises(WriteRefused, match="does not have"):
        padded("한", "latin-1", 4)
