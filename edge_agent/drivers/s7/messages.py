"""The messages of S7 communication, as bytes. Pure.

TPKT (RFC 1006) and COTP class 0 (ISO 8073) round an S7 PDU: header, parameters, data. There is no public
specification of S7; the layout is that of Wireshark's dissector and libnodave. Everything is big-endian.
"""

import struct
from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.s7.address import Area
from edge_agent.drivers.s7.blocks import Block
from edge_agent.drivers.s7.errors import ITEM_GOOD, DeviceError, Refusal

_TPKT_VERSION: Final = 3
_ENVELOPE: Final = b"\x02\xf0\x80"  # COTP: data, last of its message
_CONNECT, _CONFIRM, _DISCONNECT, _DATA = 0xE0, 0xD0, 0x80, 0xF0
_TPDU_1024: Final = b"\xc0\x01\x0a"
_JOB, _ACK, _ACK_DATA, _USERDATA = 1, 2, 3, 7
_SETUP, _READ, _WRITE = 0xF0, 0x04, 0x05
# Jobs that the agent offers to leave unanswered; the CPU says how many it takes.
JOBS: Final = 4
_PROTOCOL: Final = 0x32
_CODES: Final = {Area.DB: 0x84, Area.MARKER: 0x83, Area.INPUT: 0x81, Area.OUTPUT: 0x82} | {
    Area.TIMER: 0x1D, Area.COUNTER: 0x1C,
}  # fmt: skip
_SIZE_BIT, _SIZE_BYTE = 0x01, 0x02
# How the length of an item's data is counted, by its transport size: these in bits, all others in bytes.
_COUNTED_IN_BITS: Final = frozenset({0x04, 0x05})
_DATA_BIT, _DATA_BITS = 0x03, 0x04
_HEAD: Final = struct.Struct(">BBHHHH")
_RANGE: Final = struct.Struct(">BBBBHHI")
_ACK_HEAD_BYTES: Final = 12
_LONGEST: Final = 65_535
LEAST_MESSAGE: Final = 7


def envelope(pdu: bytes) -> bytes:
    return b"\x03\x00" + (len(pdu) + 7).to_bytes(2) + _ENVELOPE + pdu


def connect_request(local: bytes, remote: bytes) -> bytes:
    """The COTP connection request, complete. local, remote: TSAPs."""
    parameters = b"\xc1\x02" + local + b"\xc2\x02" + remote + _TPDU_1024
    body = bytes((_CONNECT, 0, 0, 0, 1, 0)) + parameters
    return b"\x03\x00" + (len(body) + 5).to_bytes(2) + len(body).to_bytes(1) + body


def check_confirm(cotp: bytes) -> None:
    """Raises DeviceError where the peer refuses the connection, Garbage where it says something else."""
    kind = cotp[1] if len(cotp) > 1 else 0
    if kind == _DISCONNECT:
        raise DeviceError(
            "the CPU refuses the connection: rack, slot, connection_type or TSAPs are not its own"
        )
    if kind != _CONFIRM:
        raise Garbage(f"the answer to the connection request is of type 0x{kind:02X}")


class Assembler:
    """The S7 PDUs, and the COTP packets that are none, in a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._begun = b""

    @property
    def untouched(self) -> bool:
        """No byte of a message has come that is not complete."""
        return not self._buffer and not self._begun

    def feed(self, data: bytes) -> list[tuple[bool, bytes]]:
        """(whether it is an S7 PDU, its bytes) of each message that is complete. Raises Garbage."""
        buffer = self._buffer + data if self._buffer else data
        found: list[tuple[bool, bytes]] = []
        at = 0
        while len(buffer) - at >= 4:
            if buffer[at] != _TPKT_VERSION:
                raise Garbage("what came is no TPKT packet")
            size = buffer[at + 2] << 8 | buffer[at + 3]
            if size < LEAST_MESSAGE:
                raise Garbage(f"a TPKT packet of {size} bytes")
            if len(buffer) - at < size:
                break
            self._take(buffer[at + 4 : at + size], found)
            at += size
        self._buffer = buffer[at:]
        return found

    def _take(self, cotp: bytes, found: list[tuple[bool, bytes]]) -> None:
        if cotp[1] != _DATA:
            found.append((False, cotp))
            return
        if cotp[0] != 2:
            raise Garbage("a COTP data packet with a head of its own")
        if cotp[2] & 0x80:
            found.append((True, self._begun + cotp[3:] if self._begun else cotp[3:]))
            self._begun = b""
            return
        self._begun += cotp[3:]
        if len(self._begun) > _LONGEST:
            raise Garbage("a message without end")


def setup_request(reference: int, pdu: int) -> bytes:
    parameters = struct.pack(">BBHHH", _SETUP, 0, JOBS, JOBS, pdu)
    return _HEAD.pack(_PROTOCOL, _JOB, 0, reference, len(parameters), 0) + parameters


def setup_reply(pdu: bytes) -> tuple[int, int]:
    """(PDU, jobs that may be unanswered). Raises DeviceError."""
    parameters = _parameters(pdu)
    if len(parameters) < 8 or parameters[0] != _SETUP:
        raise DeviceError("the CPU's answer to the setup is none")
    taken, _, granted = struct.unpack_from(">HHH", parameters, 2)
    return granted, taken


def read_request(reference: int, blocks: Sequence[Block]) -> bytes:
    ranges = b"".join([_range_of(block) for block in blocks])
    head = _HEAD.pack(_PROTOCOL, _JOB, 0, reference, 2 + len(ranges), 0)
    return head + bytes((_READ, len(blocks))) + ranges


def read_reply(pdu: bytes, blocks: Sequence[Block]) -> list[bytes | int]:
    """For each block its data, or the return code that it got instead. Raises DeviceError."""
    # The usual case first: one block, all of it.
    if len(blocks) == 1 and pdu[1] == _ACK_DATA and pdu[10:14] == b"\0\0\x04\x01":
        count = blocks[0].nbytes
        if pdu[14:16] == b"\xff\x04" and len(pdu) == 18 + count and pdu[16] << 8 | pdu[17] == 8 * count:
            return [pdu[18:]]
    parameters = _parameters(pdu)
    if len(parameters) != 2 or parameters[0] != _READ or parameters[1] != len(blocks):
        raise DeviceError("the reply is to something else")
    data = pdu[_ACK_HEAD_BYTES + 2 :]
    found: list[bytes | int] = []
    at = 0
    for block in blocks:
        if len(data) < at + 1:
            raise DeviceError("the reply is shorter than what was asked for")
        code, nbytes = data[at], 0
        if code == ITEM_GOOD:
            if len(data) < at + 4 + block.nbytes:
                raise DeviceError("the reply is shorter than what was asked for")
            nbytes = _data_bytes(data[at + 1], data[at + 2] << 8 | data[at + 3])
            if nbytes != block.nbytes:
                raise DeviceError(
                    f"the reply has {nbytes} bytes of {block}, and {block.nbytes} were asked for"
                )
            found.append(data[at + 4 : at + 4 + nbytes])
        else:
            found.append(code)
        at += 4 + nbytes + nbytes % 2
    return found


def write_request(reference: int, area: Area, db: int, start: int, bit: int | None, data: bytes) -> bytes:
    """bit: of the byte `start`; data is then one byte of 0 or 1."""
    if bit is None:
        where = _RANGE.pack(0x12, 10, 0x10, _SIZE_BYTE, len(data), db, _CODES[area] << 24 | 8 * start)
        item = struct.pack(">BBH", 0, _DATA_BITS, 8 * len(data)) + data
    else:
        where = _RANGE.pack(0x12, 10, 0x10, _SIZE_BIT, 1, db, _CODES[area] << 24 | 8 * start + bit)
        item = struct.pack(">BBH", 0, _DATA_BIT, 1) + data
    head = _HEAD.pack(_PROTOCOL, _JOB, 0, reference, 2 + len(where), len(item))
    return head + bytes((_WRITE, 1)) + where + item


def write_reply(pdu: bytes) -> int:
    """The item's return code. Raises DeviceError."""
    parameters = _parameters(pdu)
    if parameters[:2] != bytes((_WRITE, 1)) or len(pdu) < _ACK_HEAD_BYTES + len(parameters) + 1:
        raise DeviceError("the reply is to something else")
    return pdu[_ACK_HEAD_BYTES + len(parameters)]


def reference_of(pdu: bytes) -> int | None:
    """The job that a PDU answers; None where it answers none. Raises Garbage for what is no S7 message."""
    if len(pdu) < _HEAD.size or pdu[0] != _PROTOCOL:
        raise Garbage("what came is no S7 message")
    if pdu[1] == _JOB:
        return None
    return pdu[4] << 8 | pdu[5]


def _parameters(pdu: bytes) -> bytes:
    """Of an answer without an error. Raises DeviceError."""
    if len(pdu) < _ACK_HEAD_BYTES or pdu[1] not in (_ACK, _ACK_DATA):
        raise DeviceError("the CPU's answer is none to a job")
    if code := pdu[10] << 8 | pdu[11]:
        raise Refusal(code)
    return pdu[_ACK_HEAD_BYTES : _ACK_HEAD_BYTES + (pdu[6] << 8 | pdu[7])]


def _range_of(block: Block) -> bytes:
    code = _CODES[block.area]
    if block.area.is_bytes:
        return _RANGE.pack(0x12, 10, 0x10, _SIZE_BYTE, block.count, block.db, code << 24 | 8 * block.start)
    return _RANGE.pack(0x12, 10, 0x10, code, block.count, 0, code << 24 | block.start)


def _data_bytes(size: int, length: int) -> int:
    return (length + 7) // 8 if size in _COUNTED_IN_BITS else length
