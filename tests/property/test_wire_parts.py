"""The parts that a batch is made of: bitmaps, varints, ranges, byte orders, engineering values."""

import math
import struct
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.wire import planes, ranges, varint
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import bitmap, check_json, selection
from edge_agent.wire.schema import Order, TagSchema, ValueType
from edge_agent.wire.values import elements, engineering, pack, reorder

FIXED = [type_ for type_ in ValueType if type_.size]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.booleans(), max_size=200))
def test_a_bitmap_stands_for_its_list(bits: list[bool]) -> None:
    assert selection(bitmap(bits), len(bits)) == [int(bit) for bit in bits]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_transposing_twice_changes_nothing(height: int, width: int, data: st.DataObject) -> None:
    block = data.draw(st.binary(min_size=height * width, max_size=height * width))
    turned = planes.transpose(block, height, width)
    assert [turned[x * height + y] for y in range(height) for x in range(width)] == list(block)
    assert planes.transpose(turned, width, height) == block


@given(st.lists(st.integers(0, varint.MAX)))
def test_varints_come_back(numbers: list[int]) -> None:
    assert varint.decode(varint.encode(numbers)) == numbers


@given(st.integers())
def test_zigzag_comes_back_and_is_not_negative(number: int) -> None:
    assert varint.zigzag(number) >= 0
    assert varint.unzigzag(varint.zigzag(number)) == number


@given(st.binary(max_size=40))
def test_any_bytes_are_varints_or_a_wire_error(data: bytes) -> None:
    try:
        numbers = varint.decode(data)
    except WireError:
        return
    assert all(0 <= number <= varint.MAX for number in numbers)
    assert len(varint.encode(numbers)) <= len(data)


# --- sets of numbers -------------------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(-20, 40), st.integers(-20, 40)), max_size=8)


def members(pairs: list[tuple[int, int]]) -> set[int]:
    return {number for lo, hi in pairs for number in range(lo, hi + 1)}


@given(PAIRS, PAIRS)
def test_ranges_are_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = members(left), members(right)
    for found, wanted in (
        (ranges.coalesce(left), a),
        (ranges.of_numbers(a), a),
        (ranges.union(left, right), a | b),
        (ranges.subtract(left, right), a - b),
        (ranges.intersect(left, right), a & b),
    ):
        assert members(found) == wanted
        assert ranges.size(found) == len(wanted)
        assert all(lo <= hi for lo, hi in found)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
    assert all(ranges.contains(left, number) == (number in a) for number in range(-21, 42))


# --- bytes of values -------------------------------------------------------------------------------------


def stored(big_endian: bytes, order: Order) -> bytes:
    """The four orders as engineers define them: by words of two bytes, and by bytes in a word."""
    pairs = [big_endian[at : at + 2] for at in range(0, len(big_endian), 2)]
    if order in (Order.DCBA, Order.CDAB):
        pairs.reverse()
    if order in (Order.DCBA, Order.BADC):
        pairs = [pair[::-1] for pair in pairs]
    return b"".join(pairs)


@given(st.sampled_from([type_ for type_ in FIXED if type_.size > 2]), st.sampled_from(Order), st.data())
def test_orders_are_those_of_struct(type_: ValueType, order: Order, data: st.DataObject) -> None:
    big = data.draw(st.binary(min_size=type_.size * 3, max_size=type_.size * 3))
    items = [stored(big[at : at + type_.size], order) for at in range(0, len(big), type_.size)]
    wanted = struct.unpack(f">3{type_.typecode}", big)
    found = elements(type_, order, b"".join(items))
    assert reorder(b"".join(items), type_.size, order) == b"".join(
        big[at : at + type_.size][::-1] for at in range(0, len(big), type_.size)
    )
    if not any(math.isnan(number) for number in wanted):
        assert tuple(found) == wanted
        assert pack(type_, order, wanted) == b"".join(items)


@pytest.mark.parametrize("order", Order)
def test_two_bytes_know_two_orders(order: Order) -> None:
    big = order in (Order.ABCD, Order.CDAB)
    assert elements(ValueType.UINT16, order, b"\x01\x02")[0] == (0x0102 if big else 0x0201)


@given(st.sampled_from(FIXED), st.data(), FLOATS, FLOATS)
def test_an_engineering_value_is_never_nan_or_infinite(
    type_: ValueType, data: st.DataObject, scale: float, offset: float
) -> None:
    raw = elements(type_, Order.DCBA, data.draw(st.binary(min_size=type_.size, max_size=type_.size)))[0]
    for tag in (TagSchema("t", type_, scale=scale, offset=offset), TagSchema("t", type_)):
        value = engineering(tag, raw)
        check_json(value)
        assert value is None or isinstance(value, int | float)


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(["0.1", "0.01", "0.5", "0.25", "0.001"]),
    st.integers(-(10**6), 10**6).map(lambda cents: Decimal(cents) / 100),
)
def test_decimal_scalings_leave_no_dust(raw: int, scale: str, offset: Decimal) -> None:
    scaled = raw * Decimal(scale)
    assert engineering(TagSchema("t", ValueType.INT32, scale=float(scale)), raw) == float(scaled)
    moved = engineering(TagSchema("t", ValueType.INT32, scale=float(scale), offset=float(offset)), raw)
    assert moved == pytest.approx(float(scaled + offset), rel=0, abs=1e-6)
