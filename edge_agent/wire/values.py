"""From the bytes of a row to values that people read, and back for tests and simulators.

`raw` is what the PLC holds; `engineering` applies scale and offset. Conversion is vectorised over many
elements of one tag with `array`; there is no numpy in the agent.
"""

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Final

from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order, TagSchema, ValueType

# Fifteen significant digits are exact in a double and hide the dust of `3 * 0.1`.
_DIGITS: Final = 15


def reorder(data: bytes, size: int, order: Order) -> bytes:
    """The elements of `data` with their bytes in little-endian order."""
    if size == 1 or order is Order.DCBA:
        return data
    result = bytearray(len(data))
    for place, plane in enumerate(order.planes(size)):
        result[place::size] = data[plane::size]
    return bytes(result)


def elements(type_: ValueType, order: Order, data: bytes) -> "array[int] | array[float]":
    """All elements in `data` as numbers of the machine."""
    result = array(type_.typecode)
    result.frombytes(reorder(data, type_.size, order))
    if sys.byteorder == "big":
        result.byteswap()
    return result


def pack(type_: ValueType, order: Order, values: Sequence[int | float]) -> bytes:
    """The inverse of `elements`."""
    data = array(type_.typecode, values)
    if sys.byteorder == "big":
        data.byteswap()
    little = data.tobytes()
    if type_.size == 1 or order is Order.DCBA:
        return little
    result = bytearray(len(little))
    for place, plane in enumerate(order.planes(type_.size)):
        result[plane :: type_.size] = little[place :: type_.size]
    return bytes(result)


def engineering(tag: TagSchema, raw: int | float) -> JsonValue:
    """The value that a person expects: bool, or `raw * scale + offset` where there is a scaling.

    An integer without scaling stays an integer of any size. Infinity and NaN have no place in JSON and
    none here: the pipeline has made them a quality, and what slips through becomes None.
    """
    if tag.type is ValueType.BOOL:
        return bool(raw)
    if tag.scale == 1.0 and tag.offset == 0.0:
        return raw if isinstance(raw, int) or math.isfinite(raw) else None
    value = raw * tag.scale + tag.offset
    if not math.isfinite(value):
        return None
    clean = float(f"{value:.{_DIGITS}g}")
    return clean if math.isfinite(clean) else value


def read_value(tag: TagSchema, data: bytes) -> JsonValue:
    """One tag's engineering value (a list for an array) from its bytes in the row."""
    values = elements(tag.type, tag.order, data)
    if tag.count == 1:
        return engineering(tag, values[0])
    return [engineering(tag, value) for value in values]
