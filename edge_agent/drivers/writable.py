"""From a raw value that is to be written to what a request carries. Pure.

Everything here raises WriteRefused for a value that does not fit: nothing is sent then. Types and ranges were
checked before (edge_agent/writing); this is what keeps a mistake there from reaching a PLC.
"""

import math

from edge_agent.contracts.errors import WriteRefused
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order, ValueType
from edge_agent.wire.values import elements, pack


def items_of(value: JsonValue, count: int) -> list[JsonValue]:
    items: list[JsonValue] = value if isinstance(value, list) and count > 1 else [value]
    if len(items) != count:
        raise WriteRefused(f"the tag holds {count} values, and {len(items)} were given")
    return items


def bits_of(value: JsonValue, count: int) -> list[bool]:
    items = items_of(value, count)
    if any(isinstance(item, str | list | dict) or item not in (0, 1) for item in items):
        raise WriteRefused(f"{value!r:.100} is no bool")
    return [bool(item) for item in items]


def numbers_of(value: JsonValue, count: int) -> list[int | float]:
    items = items_of(value, count)
    numbers = [item for item in items if isinstance(item, int | float)]
    if len(numbers) != count:
        raise WriteRefused(f"{value!r:.100} is no number")
    return numbers


def packed(type_: ValueType, order: Order, count: int, value: JsonValue) -> bytes:
    """As many numbers as the tag holds, in its order of bytes."""
    numbers = numbers_of(value, count)
    try:
        data = pack(type_, order, numbers)
    except (OverflowError, TypeError) as error:
        raise WriteRefused(f"{value!r:.100} is no {type_}: {error}") from error
    if type_.is_float and not all(map(math.isfinite, elements(type_, order, data))):
        raise WriteRefused(f"{value!r:.100} is no {type_} that is finite")
    return data


def characters(value: JsonValue, encoding: str) -> bytes:
    if not isinstance(value, str):
        raise WriteRefused(f"{value!r:.100} is no text")
    try:
        return value.encode(encoding)
    except UnicodeError as error:
        raise WriteRefused(f"the text has characters that {encoding} does not have") from error


def padded(value: JsonValue, encoding: str, nbytes: int) -> bytes:
    """A text that fills `nbytes`, with NUL behind it."""
    data = characters(value, encoding)
    if len(data) > nbytes:
        raise WriteRefused(f"the text takes {len(data)} bytes in {encoding}, the tag {nbytes}")
    return data.ljust(nbytes, b"\0")
