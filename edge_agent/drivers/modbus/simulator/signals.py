"""What a simulated address holds: a pure function of the address and the tick.

A tick is `floor(wall_ms / tick_ms)`, so a sample's time stamp is enough to verify its value. Addresses
without a scripted signal hold those of `default_signal`.
"""

import math
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

Element: TypeAlias = bool | int | float | str
Value: TypeAlias = Element | list[Element]

_INTEGER_BITS: Final = {
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
}  # fmt: skip
_STRUCT_CODES: Final = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip
_WORDS: Final = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2} | {
    "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
_EXACT_FLOAT32: Final = 1 << 24
_DECIMALS: Final = 2
_M64: Final = (1 << 64) - 1


class Kind(StrEnum):
    DEFAULT = "default"
    RAMP = "ramp"
    COUNTER = "counter"
    SINE = "sine"
    SQUARE = "square"
    CONSTANT = "constant"
    RANDOM = "random"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Signal:
    """One value of a station.

    area: coil, discrete, holding or input. type: as in the driver's config; a coil's is bool.
    period: ticks after which ramp, sine, square and text repeat. low, high: the limits; `constant` is low.
    count: elements of an array, each with the formula of its own address. text: what a text begins with;
    length: its bytes. byte_order, word_order: big or little, how the station stores it.
    """

    area: str
    address: int
    kind: Kind = Kind.DEFAULT
    type: str = "uint16"
    count: int = 1
    period: int = 100
    low: float = 0.0
    high: float = 100.0
    text: str = ""
    length: int = 0
    encoding: str = "utf-8"
    byte_order: str = "big"
    word_order: str = "big"
    tick_ms: int = 1000

    @property
    def words(self) -> int:
        """Addresses of one element."""
        return (self.length + 1) // 2 if self.type == "string" else _WORDS.get(self.type, 1)

    @property
    def end(self) -> int:
        """The address behind the last."""
        return self.address + self.words * self.count


def default_signal(area: str, address: int, tick_ms: int = 1000) -> Signal:
    return Signal(area, address, type="bool" if area in ("coil", "discrete") else "uint16", tick_ms=tick_ms)


def expected(signal: Signal, k: int) -> Value:
    """The value at tick `k`: a list for an array; float32 rounded as the station stores it."""
    values = [_element(signal, signal.address + index * signal.words, k) for index in range(signal.count)]
    return values[0] if signal.count == 1 else values


def matches(signal: Signal, value: object, wall_ms: int, tolerance_ms: int) -> bool:
    """Whether `value` is exactly that of some tick within the tolerance of its time."""
    first = (wall_ms - tolerance_ms) // signal.tick_ms
    last = (wall_ms + tolerance_ms) // signal.tick_ms
    return any(expected(signal, k) == value for k in range(first, last + 1))


def encode(signal: Signal, k: int) -> bytes:
    """The registers of a signal at tick `k`, as they stand in a reply. Not for coils and discretes."""
    value = expected(signal, k)
    elements = value if isinstance(value, list) else [value]
    return b"".join(_registers(signal, element) for element in elements)


def _registers(signal: Signal, element: Element) -> bytes:
    if isinstance(element, str):
        data = element.encode(signal.encoding).ljust(2 * signal.words, b"\0")
    else:
        data = struct.pack(">" + _STRUCT_CODES[signal.type], element)
        if signal.word_order == "little":
            data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -2, -2))
    if signal.byte_order == "little":
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
    return data


def _element(signal: Signal, address: int, k: int) -> Element:
    if signal.kind is Kind.DEFAULT:
        return _default(signal.area, address, k)
    if signal.kind is Kind.TEXT:
        return f"{signal.text}{k % signal.period:04d}"
    return _stored(signal, _FORMULAS[signal.kind](signal, address, k))


def _default(area: str, address: int, k: int) -> Element:
    match area:
        case "coil":
            return (k + 7 * address) % 5 < 2
        case "discrete":
            return (3 * k + address) % 7 < 3
        case "input":
            return (k * 13 + address * 17 + 4711) & 0xFFFF
        case _:
            return (k * 7 + address * 31) & 0xFFFF


def _ramp(signal: Signal, address: int, k: int) -> float:
    share = (k + address) % signal.period / signal.period
    return round(signal.low + (signal.high - signal.low) * share, _DECIMALS)


def _counter(_signal: Signal, address: int, k: int) -> float:
    return k + address


def _sine(signal: Signal, address: int, k: int) -> float:
    angle = 2 * math.pi * ((k + address) % signal.period) / signal.period
    return round(signal.low + (signal.high - signal.low) * (1 + math.sin(angle)) / 2, _DECIMALS)


def _square(signal: Signal, address: int, k: int) -> float:
    return signal.high if (k + address) % signal.period * 2 >= signal.period else signal.low


def _constant(signal: Signal, _address: int, _k: int) -> float:
    return signal.low


def _random(signal: Signal, address: int, k: int) -> float:
    """A hash of address and tick (splitmix64), spread over the limits."""
    mixed = (k * 65_537 + address + 1) * 0x9E3779B97F4A7C15 & _M64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _M64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _M64
    return round(
        signal.low + (signal.high - signal.low) * ((mixed ^ mixed >> 31) >> 11) / (1 << 53), _DECIMALS
    )


_FORMULAS: Final = {
    Kind.RAMP: _ramp, Kind.COUNTER: _counter, Kind.SINE: _sine, Kind.SQUARE: _square,
    Kind.CONSTANT: _constant, Kind.RANDOM: _random,
}  # fmt: skip


def _stored(signal: Signal, value: float) -> Element:
    """The number as the type can hold it: integers wrap around, float32 is rounded."""
    if signal.type == "bool":
        return value * 2 > signal.low + signal.high
    if bits := _INTEGER_BITS.get(signal.type):
        number = round(value) & (1 << bits) - 1
        return number - (1 << bits) if signal.type.startswith("int") and number >> bits - 1 else number
    if signal.type == "float32":
        if signal.kind is Kind.COUNTER:
            value %= _EXACT_FLOAT32
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    return float(value)
