"""How requests and replies are framed on the stream: Modbus TCP, and RTU frames over TCP.

Each class turns a request's PDU into bytes and finds the one reply that belongs to it in the bytes that
come back. It keeps what is incomplete, and never takes a reply that is late, repeated or somebody
else's. No I/O. Sources: Modbus Messaging on TCP/IP V1.0b, 3.1; Modbus over Serial Line V1.02, 2.5.1.
"""

import functools
import struct
from typing import TYPE_CHECKING, Final

from edge_agent.drivers import links
from edge_agent.drivers.links import Garbage

if TYPE_CHECKING:
    from pymodbus.framer import FramerRTU

_MBAP: Final = struct.Struct(">HHHB")
_MBAP_PREFIX_BYTES: Final = 6
# The unit and a PDU of at least a function code and one byte, at most 253 bytes.
_LENGTHS: Final = range(3, 255)
_RTU_EXCEPTION_BYTES: Final = 5
_EXCEPTION_BIT: Final = 0x80
_IDENTIFICATION: Final = 0x2B
# Replies to functions that write, as RTU frames.
_WRITE_REPLY_BYTES: Final = {5: 8, 6: 8, 15: 8, 16: 8, 22: 10}
# Unit, function, MEI type, code, conformity, more follows, next object, number of objects; then objects
# of id, length and value (Modbus Application Protocol V1.1b3, 6.21).
_IDENTIFICATION_HEAD_BYTES: Final = 8
_CRC_BYTES: Final = 2


Framing = links.Framing[bytes, int, bytes]
"""Asked are a unit and a PDU; the PDU of the reply is found."""


class TcpFraming:
    """A transaction id names each request, so a late reply is told from the awaited one.

    names_replies=False: for gateways that do not echo it; then, as with RTU, only the order counts.
    """

    def __init__(self, *, names_replies: bool = True) -> None:
        self.names_replies = names_replies
        self.discarded = ""
        self.untouched = True
        self._transaction = 0
        self._unit = 0
        self._awaiting = False
        self._buffer = b""

    def request(self, unit_id: int, pdu: bytes) -> bytes:
        self._transaction = self._transaction % 0xFFFF + 1
        self._unit = unit_id
        self._awaiting = True
        self.untouched = True
        self.discarded = ""
        return _MBAP.pack(self._transaction, 0, len(pdu) + 1, unit_id) + pdu

    def receive(self, data: bytes) -> bytes | None:
        self.untouched = False
        if self._buffer:
            data = self._buffer + data
        answer: bytes | None = None
        while len(data) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(data)
            if protocol != 0 or length not in _LENGTHS:
                raise Garbage("what came is not Modbus TCP")
            end = _MBAP_PREFIX_BYTES + length
            if len(data) < end:
                break
            if not self.names_replies:
                if not self._awaiting:
                    raise Garbage("a reply came that nobody asked for")
                transaction = self._transaction
            if not self._awaiting or transaction != self._transaction:
                self.discarded = f"a reply to transaction {transaction} instead of {self._transaction}"
            elif unit != self._unit:
                self.discarded = f"a reply of unit {unit} instead of {self._unit}"
            else:
                answer = data[_MBAP.size : end]
                self._awaiting = False
            data = data[end:]
        self._buffer = data
        return answer

    def abandon(self) -> bool:
        self._awaiting = False
        return self.names_replies and not self._buffer

    def forget(self) -> None:
        """Half a frame will never be completed: where each datagram is whole."""
        self._buffer = b""


class RtuFraming:
    """Nothing but its place in the order names a reply: whatever is odd makes the stream useless."""

    names_replies = False

    def __init__(self) -> None:
        self.discarded = ""
        self.untouched = True
        self._expected = b""
        self._buffer = b""

    def request(self, unit_id: int, pdu: bytes) -> bytes:
        self._expected = bytes((unit_id, pdu[0]))
        self._buffer = b""
        self.untouched = True
        self.discarded = ""
        frame: bytes = rtu_framer().encode(pdu, unit_id, 0)
        return frame

    def receive(self, data: bytes) -> bytes | None:
        self.untouched = False
        if not self._expected:
            raise Garbage("bytes came that nobody asked for")
        self._buffer = data = self._buffer + data
        if len(data) < 3:
            return None
        unit, function = self._expected
        if data[0] != unit:
            raise Garbage(f"a reply of unit {data[0]} instead of {unit}")
        if data[1] not in (function, function | _EXCEPTION_BIT):
            raise Garbage(f"a reply to function {data[1]} instead of {function}")
        size = rtu_reply_bytes(data)
        if size is None or len(data) < size:
            return None
        if len(data) > size:
            raise Garbage("bytes follow the reply")
        if not has_good_crc(data):
            raise Garbage("a reply with a wrong checksum")
        self._expected = self._buffer = b""
        return data[1:-2]

    def abandon(self) -> bool:
        self._expected = b""
        return False


def rtu_reply_bytes(data: bytes) -> int | None:
    """How long the RTU frame is that begins with `data`, its checksum included; None: not yet known.

    Needs three bytes at least. Knows the replies to functions that read and write, identification, and
    exceptions.
    """
    if data[1] & _EXCEPTION_BIT:
        return _RTU_EXCEPTION_BYTES
    if size := _WRITE_REPLY_BYTES.get(data[1]):
        return size
    if data[1] != _IDENTIFICATION:
        return 3 + data[2] + _CRC_BYTES
    end = _IDENTIFICATION_HEAD_BYTES
    if len(data) < end:
        return None
    for _ in range(data[end - 1]):
        if len(data) < end + 2:
            return None
        end += 2 + data[end + 1]
    return end + _CRC_BYTES


def has_good_crc(frame: bytes) -> bool:
    return bool(rtu_framer().check_CRC(frame[:-2], int.from_bytes(frame[-2:])))


@functools.cache
def rtu_framer() -> "FramerRTU":
    """pymodbus' framer, loaded at its first use: importing it takes as long as a small agent's start."""
    from pymodbus.framer import FramerRTU

    return FramerRTU(None)  # type: ignore[arg-type]  # encoding needs no decoder
