"""From a tag and a raw value to the one request that writes it, and from a reply back to the value. Pure.

A bit in a register is written by function 22, which touches no other bit. Where a station does not know it,
the write is refused: to read the register, change the bit and write it back would undo what the PLC changed
in between. Source: Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12 and 6.16.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.contracts.errors import ConfigError, WriteRefused, WriteUnknown
from edge_agent.drivers.cutting import spread
from edge_agent.drivers.modbus.address import REGISTER_BITS, Area
from edge_agent.drivers.modbus.decode import string
from edge_agent.drivers.modbus.errors import exception_text
from edge_agent.drivers.modbus.plan import Block, order_of
from edge_agent.drivers.modbus.settings import Endian, ModbusConnection, ModbusGroup, ModbusTag
from edge_agent.drivers.modbus.transports import SerialTransport
from edge_agent.drivers.writable import bits_of, packed, padded
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import Order, ValueType
from edge_agent.wire.values import elements

WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_REGISTER = 5, 6, 15, 16, 22
MOST_REGISTERS: Final = 123
MOST_COILS: Final = 1968
_EXCEPTION_BIT: Final = 0x80
_ILLEGAL_FUNCTION: Final = 1
# Failed in the middle of it; taken, and not yet done; the gateway sent it on and heard nothing.
_PERHAPS_DONE: Final = (4, 5, 11)


@dataclass(frozen=True, slots=True)
class ModbusTarget:
    """What is needed to write one tag. first, count: addresses. bits: of one register, counted from its
    lowest bit as it travels. items: values. nbytes, encoding: of a string. swapped: the two bytes of a
    register stand in reverse. single: functions 5 and 6 where there is one address."""

    unit_id: int
    area: Area
    first: int
    count: int
    type: ValueType
    order: Order
    items: int
    bits: tuple[int, ...]
    nbytes: int
    encoding: str
    swapped: bool
    single: bool

    @property
    def block(self) -> Block:
        """What reads it."""
        return Block(self.area, self.first, self.count, ())


def target(connection: ModbusConnection, group: ModbusGroup, tag: ModbusTag) -> ModbusTarget:
    """Raises ConfigError for a tag that can never be written."""
    place = tag.place
    if place.area in (Area.DISCRETE, Area.INPUT):
        raise ConfigError(f"{tag.name}: nobody can write {place}: {place.area} is read only in Modbus")
    first, end = tag.span
    most = MOST_COILS if place.area.is_bits else MOST_REGISTERS
    if end - first > most:
        raise ConfigError(
            f"{tag.name}: one request writes at most {most} addresses, this takes {end - first}"
        )
    swapped = (tag.byte_order or connection.byte_order) is Endian.LITTLE
    bits: tuple[int, ...] = ()
    if place.bit is not None:
        bits = _mask_bits(connection, tag, place.bit, swapped=swapped)
    return ModbusTarget(
        unit_id=connection.unit_of(group), area=place.area, first=first, count=end - first, type=tag.type,
        order=order_of(connection, tag), items=tag.count, bits=bits, nbytes=tag.length or 0,
        encoding=tag.encoding, swapped=swapped, single=_single(connection),
    )  # fmt: skip


def _mask_bits(connection: ModbusConnection, tag: ModbusTag, bit: int, *, swapped: bool) -> tuple[int, ...]:
    if bit + tag.count > REGISTER_BITS:
        raise ConfigError(f"{tag.name}: bits of more than one register cannot be written in one request")
    if isinstance(connection.transport, SerialTransport):
        raise ConfigError(
            f"{tag.name}: a bit in a register is not written on a serial line, where the reply to function "
            "22 cannot be told from an adapter's echo: write the whole register, or a coil"
        )
    return tuple(number ^ 8 if swapped else number for number in range(bit, bit + tag.count))


def _single(connection: ModbusConnection) -> bool:
    """On a serial line the reply to 5 and 6 cannot be told from an adapter's echo."""
    return connection.write_function == "single" and not isinstance(connection.transport, SerialTransport)


def encode(target: ModbusTarget, value: JsonValue) -> bytes:
    """The PDU of the one request. Raises WriteRefused for a value that does not fit: nothing is sent."""
    start = target.first.to_bytes(2)
    if target.bits:
        mask = sum(1 << bit for bit in target.bits)
        put = sum(1 << bit for bit, on in zip(target.bits, bits_of(value, target.items), strict=True) if on)
        return bytes((MASK_REGISTER,)) + start + (mask ^ 0xFFFF).to_bytes(2) + put.to_bytes(2)
    if target.area is Area.COIL:
        return _coils(target, bits_of(value, target.items), start)
    data = _registers(target, value)
    if target.single and target.count == 1:
        return bytes((WRITE_REGISTER,)) + start + data
    return bytes((WRITE_REGISTERS,)) + start + target.count.to_bytes(2) + bytes((len(data),)) + data


def _coils(target: ModbusTarget, values: list[bool], start: bytes) -> bytes:
    if target.single and target.count == 1:
        return bytes((WRITE_COIL,)) + start + (b"\xff\0" if values[0] else b"\0\0")
    size = (target.count + 7) // 8
    packed = sum(1 << index for index, on in enumerate(values) if on).to_bytes(size, "little")
    return bytes((WRITE_COILS,)) + start + target.count.to_bytes(2) + bytes((size,)) + packed


def _registers(target: ModbusTarget, value: JsonValue) -> bytes:
    if target.type is ValueType.STRING:
        return _text(target, value)
    return packed(target.type, target.order, target.items, value)


def _text(target: ModbusTarget, value: JsonValue) -> bytes:
    data = padded(value, target.encoding, target.nbytes)
    data = data.ljust(2 * target.count, b"\0")
    if not target.swapped:
        return data
    turned = bytearray(len(data))
    turned[::2], turned[1::2] = data[1::2], data[::2]
    return bytes(turned)


def check_reply(request: bytes, reply: bytes) -> None:
    """Returns where the reply acknowledges this very request. Raises WriteRefused and WriteUnknown."""
    function = request[0]
    expected = request[:5] if function in (WRITE_COILS, WRITE_REGISTERS) else request
    if reply == expected:
        return
    if len(reply) != 2 or reply[0] != function | _EXCEPTION_BIT:
        raise WriteUnknown(f"the reply to function {function} does not repeat what was asked")
    code, text = reply[1], exception_text(reply[1])
    if code in _PERHAPS_DONE:
        raise WriteUnknown(text)
    if function == MASK_REGISTER and code == _ILLEGAL_FUNCTION:
        raise WriteRefused(f"{text}: it cannot mask-write a bit (22), and nothing else writes it alone")
    raise WriteRefused(text)


def decode(target: ModbusTarget, data: bytes) -> JsonValue:
    """The raw value in the data of a reply to `target.block`. Raises UnicodeError for a text that is none."""
    if target.type is ValueType.STRING:
        return string(data, target.nbytes, target.encoding, swapped=target.swapped)
    values: list[JsonValue]
    if target.bits:
        word = int.from_bytes(data)
        values = [bool(word >> bit & 1) for bit in target.bits]
    elif target.area is Area.COIL:
        values = [bool(bit) for bit in spread(data)[: target.items]]
    else:
        values = list(elements(target.type, target.order, data))
    return values[0] if target.items == 1 else values
