"""From what a person or a program says to the raw value that a tag takes, exactly. Pure.

Nothing is rounded: a value that the tag cannot hold is refused, with its neighbours. The one exception is a
floating point tag, which takes the number nearest to the decimal that was written; it is told what that is.
"""

import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Final

from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import TagSchema, ValueType
from edge_agent.wire.values import engineering
from edge_agent.writing.errors import NotAllowed

_TRUE: Final = ("true", "on", "1")
_FALSE: Final = ("false", "off", "0")
_LONGEST: Final = 4_000
_MOST_DIGITS: Final = 60
_MOST_EXPONENT: Final = 330  # beyond those of a double
Scalar = bool | int | float | str


def raw_value(tag: TagSchema, given: JsonValue) -> JsonValue:
    """The raw value of a tag, a list for an array. Raises NotAllowed."""
    if tag.type is ValueType.JSON:
        raise NotAllowed("not_writable", f"{tag.name} is a structure: those are not written")
    if tag.count == 1:
        return raw_element(tag, given)
    if not isinstance(given, list) or len(given) != tag.count:
        raise NotAllowed("bad_value", f"{tag.name} is an array: give all of its {tag.count} values as a list")
    return [raw_element(tag, each) for each in given]


def raw_element(tag: TagSchema, given: JsonValue) -> Scalar:
    """One element. Raises NotAllowed."""
    if given is None or isinstance(given, list | dict):
        raise NotAllowed("bad_value", f"{tag.name} takes one {tag.type}")
    if tag.type is ValueType.STRING:
        return _text(tag, given)
    named = [number for number, name in tag.enum if given == name]
    if len(named) > 1:
        raise NotAllowed("bad_value", f"{tag.name}: {given!r:.100} stands for {named[0]} and {named[1]}")
    if named:
        return _named(tag, named[0])
    if tag.type is ValueType.BOOL:
        return _bool(tag, given)
    return _number(tag, exact(tag, given))


def shown(tag: TagSchema, raw: JsonValue) -> JsonValue:
    """A raw value in engineering units."""
    if isinstance(raw, list):
        return [shown(tag, each) for each in raw]
    return engineering(tag, raw) if isinstance(raw, int | float) else raw


def exact(tag: TagSchema, given: JsonValue) -> Fraction:
    """A number as it was written. Raises NotAllowed."""
    text = repr(given) if isinstance(given, float) else str(given).strip()
    known = f"; its names are {', '.join(name for _, name in tag.enum)}" if tag.enum else ""
    wrong = NotAllowed("bad_value", f"{text[:100]!r} is no number, as {tag.name} takes{known}")
    if isinstance(given, bool) or len(text) > _MOST_DIGITS or "_" in text:
        raise wrong
    try:
        number = Decimal(text)
    except ArithmeticError as error:
        raise wrong from error
    # As a fraction a short text with a large exponent takes minutes and gigabytes.
    if not number.is_finite() or (number and abs(number.adjusted()) > _MOST_EXPONENT):
        raise wrong
    return Fraction(number) if number else Fraction(0)


def _text(tag: TagSchema, given: JsonValue) -> str:
    if not isinstance(given, str):
        given = str(given)
    if len(given) > _LONGEST or "\0" in given:
        raise NotAllowed("bad_value", f"{tag.name}: a text has at most {_LONGEST} characters, and no NUL")
    if not given.isascii() and any("\ud800" <= each <= "\udfff" for each in given):
        raise NotAllowed("bad_value", f"{tag.name}: that is no text in UTF-8")
    return given


def _bool(tag: TagSchema, given: JsonValue) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise NotAllowed("bad_value", f"{text[:100]!r} is neither true nor false, as {tag.name} takes")
    return text in _TRUE


def _number(tag: TagSchema, value: Fraction) -> int | float:
    scale, offset = Fraction(repr(tag.scale)), Fraction(repr(tag.offset))
    raw = (value - offset) / scale
    if tag.type.is_float:
        return _float(tag, raw)
    least, most = _limits(tag.type)
    if raw.denominator != 1 and least <= raw <= most:
        near = sorted(engineering(tag, int(edge)) or 0 for edge in (math.floor(raw), math.ceil(raw)))  # type: ignore[type-var]
        text = f"{tag.name} cannot hold exactly that; the nearest are {near[0]} and {near[1]}"
        raise NotAllowed("bad_value", text)
    return _fitting(tag, math.floor(raw) if raw < least else math.ceil(raw))


def _named(tag: TagSchema, number: int) -> bool | int | float:
    """The raw value of an enum's name, of the tag's type."""
    if tag.type is ValueType.BOOL and number in (0, 1):
        return bool(number)
    return _float(tag, Fraction(number)) if tag.type.is_float else _fitting(tag, number)


def _fitting(tag: TagSchema, number: int) -> int:
    least, most = (0, 1) if tag.type is ValueType.BOOL else _limits(tag.type)
    if not least <= number <= most:
        raise NotAllowed("out_of_range", f"{tag.name} is a {tag.type}: raw {number} does not fit into it")
    return number


def _float(tag: TagSchema, raw: Fraction) -> float:
    try:
        number = float(raw)
        if tag.type is ValueType.FLOAT32:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NotAllowed("out_of_range", f"{tag.name} is a {tag.type}: that does not fit into it")
    return number


def _limits(type_: ValueType) -> tuple[int, int]:
    bits = 8 * type_.size
    return (0, (1 << bits) - 1) if type_.value.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)
