"""The wire format of Protocol Buffers, as far as Sparkplug B needs it. Pure, bounded by its input.

Source: protobuf.dev, Encoding. Groups (wire types 3 and 4) are long deprecated, and refused.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from edge_agent.drivers.mqtt.errors import BadPayload

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_MOST_VARINT_BYTES: Final = 10
_MOST: Final = (1 << 64) - 1


class Field(NamedTuple):
    """number: of VARINT, and of FIXED32 and FIXED64 as unsigned. data: of BYTES, and the bytes of those."""

    tag: int
    wire_type: int
    number: int
    data: bytes

    def whole(self) -> int:
        """Raises BadPayload."""
        if self.wire_type != VARINT:
            raise BadPayload(f"field {self.tag} is no number")
        return self.number

    def octets(self) -> bytes:
        """Raises BadPayload."""
        if self.wire_type != BYTES:
            raise BadPayload(f"field {self.tag} has no bytes")
        return self.data

    def text(self) -> str:
        """Raises BadPayload."""
        try:
            return self.octets().decode()
        except UnicodeDecodeError:
            raise BadPayload(f"field {self.tag} is no text in UTF-8") from None


class Budget:
    """How many fields may still be read. Each costs the loop some microseconds, and may be of two bytes."""

    def __init__(self, fields: int) -> None:
        self._most = self._left = fields

    def spend(self, count: int = 1) -> None:
        """Raises BadPayload."""
        self._left -= count
        if self._left < 0:
            raise BadPayload(f"the payload has more than {self._most} fields")


def fields(data: bytes, budget: Budget) -> Iterator[Field]:
    """The fields of one message, in the order in which they stand. Raises BadPayload."""
    at = 0
    while at < len(data):
        budget.spend()
        key, at = varint(data, at)
        tag, wire_type = key >> 3, key & 7
        if not tag:
            raise BadPayload("a field has the number 0")
        if wire_type == VARINT:
            number, at = varint(data, at)
            yield Field(tag, wire_type, number, b"")
            continue
        if wire_type == BYTES:
            size, at = varint(data, at)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise BadPayload(f"field {tag} has the wire type {wire_type}")
        end = at + size
        if end > len(data):
            raise BadPayload(f"field {tag} ends behind its message")
        piece = data[at:end]
        yield Field(tag, wire_type, 0 if wire_type == BYTES else int.from_bytes(piece, "little"), piece)
        at = end


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends. Raises BadPayload."""
    number = 0
    for place in range(_MOST_VARINT_BYTES):
        if at + place >= len(data):
            raise BadPayload("the payload ends within a number")
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if number > _MOST:
                raise BadPayload("a number has more than 64 bits")
            return number, at + place + 1
    raise BadPayload("a number has more than 64 bits")


def key(tag: int, wire_type: int) -> bytes:
    return encoded(tag << 3 | wire_type)


def encoded(number: int) -> bytes:
    """A varint."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
