"""From a tag and a raw value to the one request that writes it, and from a reply back to the value. Pure.

A bit is written by its own name and touches no other bit. One byte or word is written by name too; longer
values, texts and arrays go as bytes from a byte address on, which needs no alignment.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.texts import text_of
from edge_agent.drivers.writable import bits_of, packed, padded
from edge_agent.drivers.xgt import frames
from edge_agent.drivers.xgt.address import JOINED_HEX_AREAS, WORD_BITS, Address
from edge_agent.drivers.xgt.plan import Block, Item, Kind
from edge_agent.drivers.xgt.settings import XgtConnection, XgtGroup, XgtTag
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order, ValueType
from edge_agent.wire.values import elements

_WORD: Final = 2


@dataclass(frozen=True, slots=True)
class XgtTarget:
    """What is needed to write one tag. area: its letter. start: first byte. bits: their numbers in the area.
    items: values. nbytes: of the value. bit_names: of each bit, for the PLC."""

    area: str
    start: int
    nbytes: int
    type: ValueType
    items: int
    encoding: str
    first_bit: int
    bit_names: tuple[str, ...]

    @property
    def block(self) -> Block:
        """What reads it."""
        return Block.of(Kind.CONTINUOUS, (Item(ord(self.area), self.start, self.start + self.nbytes, 0),))


def target(connection: XgtConnection, _group: XgtGroup, tag: XgtTag) -> XgtTarget:
    """Raises ConfigError for a tag that can never be written."""
    if tag.is_status:
        raise ConfigError(f"{tag.name}: nobody can write {tag.address}: it tells what the PLC does")
    try:
        place = connection.place(tag)
    except ValueError as error:
        raise ConfigError(f"{tag.name}: {error}") from error
    if place.contact:
        raise ConfigError(f"{tag.name}: {tag.address} is a contact, which follows from its timer or counter")
    if place.area == "I":
        raise ConfigError(f"{tag.name}: {tag.address} is an input, which the PLC itself sets in every scan")
    names: tuple[str, ...] = ()
    nbytes, first_bit = tag.nbytes, place.bit or 0
    if tag.type is ValueType.BOOL:
        if tag.count > frames.MOST_NAMES:
            raise ConfigError(f"{tag.name}: one request writes at most {frames.MOST_NAMES} bits")
        nbytes = (first_bit + tag.count + 7) // 8
        first = 8 * place.byte + first_bit
        names = tuple(
            _bit_name(place, number, hex_bits=connection.hex_bits)
            for number in range(first, first + tag.count)
        )
    return XgtTarget(place.area, place.byte, nbytes, tag.type, tag.count, tag.encoding, first_bit, names)


def _bit_name(place: Address, number: int, *, hex_bits: bool) -> str:
    """hex_bits: the word, then the bit as a hexadecimal digit, behind a dot in areas of words."""
    if not hex_bits:
        return f"%{place.area}X{number}"
    dot = "" if place.area in JOINED_HEX_AREAS else "."
    return f"%{place.area}X{number // WORD_BITS}{dot}{number % WORD_BITS:X}"


def encode(target: XgtTarget, value: JsonValue) -> bytes:
    """The body of the one request. Raises WriteRefused for a value that does not fit: nothing is sent."""
    if target.bit_names:
        bits = [b"\x01" if item else b"\0" for item in bits_of(value, target.items)]
        return frames.write_names(frames.BIT, target.bit_names, bits)
    if target.type is ValueType.STRING:
        data = padded(value, target.encoding, target.nbytes)
    else:
        data = packed(target.type, Order.DCBA, target.items, value)
    if len(data) == 1:
        return frames.write_names(frames.BYTE, (f"%{target.area}B{target.start}",), (data,))
    if len(data) == _WORD and target.start % _WORD == 0:
        return frames.write_names(frames.WORD, (f"%{target.area}W{target.start // _WORD}",), (data,))
    return frames.write_bytes(f"%{target.area}B{target.start}", data)


def decode(target: XgtTarget, data: bytes) -> JsonValue:
    """The raw value in the data of `target.block`. Raises UnicodeError for a text that is none."""
    data = data[target.start % _WORD :][: target.nbytes]
    if target.type is ValueType.STRING:
        return text_of(data, target.encoding)
    values: list[JsonValue]
    if target.bit_names:
        number = int.from_bytes(data, "little") >> target.first_bit
        values = [bool(number >> bit & 1) for bit in range(target.items)]
    else:
        values = list(elements(target.type, Order.DCBA, data))
    return values[0] if target.items == 1 else values
