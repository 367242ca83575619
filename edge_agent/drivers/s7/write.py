"""From a tag and a raw value to the one request that writes it, and from data back to the value. Pure.

A bit is written as a bit: the CPU touches no other one of its byte. Of a STRING the length and the characters
are written, and never the maximum that the program declared; that is read first, as characters behind it
would overwrite what stands there.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.contracts.errors import ConfigError, Unsupported, WriteRefused
from edge_agent.drivers.s7.address import Address, Area
from edge_agent.drivers.s7.blocks import Block, Items
from edge_agent.drivers.s7.datatypes import Form, number, s5time, text
from edge_agent.drivers.s7.settings import S7Connection, S7Group, S7Tag
from edge_agent.drivers.writable import bits_of, characters, numbers_of, packed
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order
from edge_agent.wire.values import elements

# Header, function, range, and the head of the data.
_HEAD_BYTES: Final = 28
_WRITABLE: Final = (Area.DB, Area.MARKER, Area.OUTPUT)
_READ_ONLY: Final = (Form.DATE, Form.DT, Form.DTL, Form.LDT)
_NOTHING: Final = Items.of(())


@dataclass(frozen=True, slots=True)
class S7Target:
    """What is needed to write one tag. place: its address. count: values; of CHAR, characters."""

    place: Address
    count: int
    encoding: str
    pdu: int

    @property
    def block(self) -> Block:
        """What reads it."""
        place = self.place
        nbytes = 1 if place.type.form is Form.BIT else place.nbytes * self.count
        return Block(place.area, place.db, place.number, nbytes, _NOTHING)


@dataclass(frozen=True, slots=True)
class Change:
    """The bytes of one write request's item: where, and what. bit: None for whole bytes."""

    start: int
    bit: int | None
    data: bytes


def target(connection: S7Connection, _group: S7Group, tag: S7Tag) -> S7Target:
    """Raises ConfigError for a tag that can never be written."""
    place = tag.place
    if place.area not in _WRITABLE:
        raise ConfigError(f"{tag.name}: {place} is not written; data blocks, markers and outputs are")
    form = place.type.form
    if form in _READ_ONLY:
        raise ConfigError(f"{tag.name}: a {place.type.name} is not written")
    if form is Form.BIT and tag.count != 1:
        raise ConfigError(f"{tag.name}: one request writes one bit: give each bit its own tag")
    found = S7Target(place, tag.count, tag.encoding, connection.pdu)
    if found.block.nbytes + _HEAD_BYTES > connection.pdu:
        raise ConfigError(
            f"{tag.name}: its {found.block.nbytes} bytes do not fit into one message of {connection.pdu}"
        )
    return found


def encode(target: S7Target, value: JsonValue) -> Change:
    """Raises WriteRefused for a value that does not fit: nothing is sent."""
    place, form = target.place, target.place.type.form
    if form is Form.BIT:
        (bit,) = bits_of(value, 1)
        return Change(place.number, place.bit, b"\1" if bit else b"\0")
    if form.is_text:
        return _text(target, value)
    if form is Form.RAW:
        return Change(place.number, None, packed(place.type.value, _order(place), target.count, value))
    try:
        data = b"".join(_computed(form, item) for item in numbers_of(value, target.count))
    except (OverflowError, ValueError) as error:
        raise WriteRefused(f"{value!r:.100} is no {place.type.name}: {error}") from error
    return Change(place.number, None, data)


def head_of(target: S7Target) -> Block | None:
    """What must be read before a text is written: where the program's declared maximum stands."""
    place = target.place
    if place.type.form not in (Form.STRING, Form.WSTRING):
        return None
    return Block(place.area, place.db, place.number, place.type.character, _NOTHING)


def check_room(target: S7Target, change: Change, head: bytes) -> None:
    """head: the data of `head_of`. Raises WriteRefused for a text longer than declared."""
    size = target.place.type.character
    most, length = int.from_bytes(head), int.from_bytes(change.data[:size])
    if length > most:
        raise WriteRefused(
            f"the text has {length} characters, and the program declared {most} at {target.place}"
        )


def decode(target: S7Target, data: bytes) -> JsonValue:
    """The raw value in what was read. Raises Unsupported where the bytes are no value of the type."""
    place, form = target.place, target.place.type.form
    if form is Form.BIT:
        return bool(data[0] >> place.bit & 1)
    try:
        if form.is_text:
            return text(form, data, target.encoding)
        if form is Form.RAW:
            values: list[JsonValue] = list(elements(place.type.value, _order(place), data))
        else:
            values = [number(form, data[at : at + 2]) for at in range(0, len(data), 2)]
    except (ValueError, OverflowError) as error:
        raise Unsupported(f"{place}: {error}") from error
    return values if target.count > 1 else values[0]


def _order(place: Address) -> Order:
    return Order.ABCD if place.type.value.size > 1 else Order.DCBA


def _computed(form: Form, value: int | float) -> bytes:
    whole = int(value)
    if whole != value:
        raise ValueError("a whole number is needed")
    if form is Form.S5TIME:
        return s5time(whole)
    if not 0 <= whole <= 999:
        raise ValueError("0 to 999")
    return int(str(whole), 16).to_bytes(2)


def _text(target: S7Target, value: JsonValue) -> Change:
    place, form = target.place, target.place.type.form
    wide = form in (Form.WCHAR, Form.WSTRING)
    data = characters(value, "utf-16-be" if wide else target.encoding)
    unit = 2 if wide else 1
    most = place.length or target.count
    if len(data) > most * unit:
        raise WriteRefused(f"the text takes {len(data) // unit} characters, and the tag holds {most}")
    if form in (Form.CHAR, Form.WCHAR):
        return Change(place.number, None, data.ljust(most * unit, b"\0"))
    head = unit  # behind the declared maximum, which takes as much as the length
    return Change(place.number + head, None, (len(data) // unit).to_bytes(head) + data)
