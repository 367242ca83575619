"""FEnet frames: requests into bytes, and out of the bytes that come back the one reply that belongs to it.

All numbers are little-endian. Sources: XGL-EFMF manual 7.1 (header, commands), XGL-EFMTB manual 8.2
(bodies), 10.4.1 (refusals); tests/unit/drivers/xgt has frames from other sources, byte by byte. Pure.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.xgt.errors import DeviceError, Refused

HEADER_BYTES: Final = 20
READ, READ_REPLY, WRITE, STATUS = 0x54, 0x55, 0x58, 0xB0
BIT, BYTE, WORD, DWORD, LWORD, CONTINUOUS = 0, 1, 2, 3, 4, 0x14
MOST_NAMES: Final = 16
MOST_BYTES: Final = 1400
COMPANY_IDS: Final = {"LSIS-XGT": b"LSIS-XGT\0\0", "LGIS-GLOFA": b"LGIS-GLOFA"}
_KNOWN_COMPANIES: Final = (b"LSIS-XGT", b"LGIS-GLO")
_FROM_CLIENT, _FROM_PLC = 0x33, 0x11
_HEADER: Final = struct.Struct("<10sHBBHHB")
_REPLY_HEADER: Final = struct.Struct("<8s2xHBBHHBB")
_HEAD: Final = struct.Struct("<HHHH")
_U16: Final = struct.Struct("<H")
_REPLY_HEAD: Final = struct.Struct("<HHHHHH")
# A refusal with a code of one byte is the shortest, a block of 1,400 bytes the longest.
_LENGTHS: Final = range(9, 2049)


@dataclass(frozen=True, slots=True)
class Reply:
    """plc_info, series: of the header. body: behind the header."""

    plc_info: int
    series: int
    body: bytes


# --- bodies of requests ---------------------------------------------------------------------------------


def read_names(kind: int, names: Sequence[str]) -> bytes:
    """Up to 16 variables of one kind, each by its name."""
    return _HEAD.pack(READ, kind, 0, len(names)) + _named(names)


def read_bytes(name: str, count: int) -> bytes:
    """`count` bytes from one byte variable on."""
    return _HEAD.pack(READ, CONTINUOUS, 0, 1) + _named((name,)) + _U16.pack(count)


def write_names(kind: int, names: Sequence[str], values: Sequence[bytes]) -> bytes:
    """All names come first, then all values, each behind its size."""
    data = b"".join(_U16.pack(len(value)) + value for value in values)
    return _HEAD.pack(WRITE, kind, 0, len(names)) + _named(names) + data


def write_bytes(name: str, data: bytes) -> bytes:
    return _HEAD.pack(WRITE, CONTINUOUS, 0, 1) + _named((name,)) + _U16.pack(len(data)) + data


def read_status() -> bytes:
    return struct.pack("<HHH", STATUS, 0, 0)


def _named(names: Sequence[str]) -> bytes:
    return b"".join(_U16.pack(len(name)) + name.encode("ascii") for name in names)


# --- bodies of replies ----------------------------------------------------------------------------------


def check(request: bytes, reply: bytes) -> None:
    """Returns where the reply accepts the request. Raises Refused and DeviceError.

    The reserved word is not looked at: PLCs were seen to fill it.
    """
    command, kind, _, error = _HEAD.unpack_from(reply) if len(reply) >= _HEAD.size else (0, 0, 0, 0)
    asked, asked_kind = _U16.unpack_from(request)[0], _U16.unpack_from(request, 2)[0]
    if command != asked + 1:
        raise DeviceError(f"the reply is to command 0x{command:04X} instead of 0x{asked + 1:04X}")
    if error:
        # The manual says that a code has one byte; PLCs send two.
        raise Refused(int.from_bytes(reply[8:10], "little"))
    if kind != asked_kind and asked != STATUS:
        raise DeviceError(f"the reply is of data type 0x{kind:04X} instead of 0x{asked_kind:04X}")


def bytes_in(reply: bytes, count: int) -> bytes:
    """The data of a reply to `read_bytes` that was checked. Raises DeviceError."""
    if len(reply) != _REPLY_HEAD.size + count:
        raise DeviceError(f"the reply has {len(reply)} bytes, not {_REPLY_HEAD.size + count}")
    blocks, size = struct.unpack_from("<HH", reply, _HEAD.size)
    if blocks != 1 or size != count:
        raise DeviceError(f"the reply announces {blocks} blocks of {size} bytes, not one of {count}")
    return reply[_REPLY_HEAD.size :]


def values_in(reply: bytes, count: int, size: int) -> bytes:
    """The values of a reply to `read_names` that was checked, one behind the other. Raises DeviceError."""
    step = 2 + size
    if len(reply) != _HEAD.size + 2 + count * step or _U16.unpack_from(reply, _HEAD.size)[0] != count:
        raise DeviceError(f"the reply has {len(reply)} bytes, which is not {count} values of {size}")
    starts = range(_HEAD.size + 2, len(reply), step)
    if any(_U16.unpack_from(reply, start)[0] != size for start in starts):
        raise DeviceError(f"a value of the reply has another size than {size}")
    return b"".join([reply[start + 2 : start + step] for start in starts])


def status_in(reply: bytes, count: int) -> bytes:
    """The flags in a reply to `read_status` that was checked. Raises DeviceError."""
    data = reply[_REPLY_HEAD.size :]
    if len(data) < count:
        raise DeviceError(f"the reply has {len(data)} bytes of status, not {count}")
    return data[:count]


# --- framing --------------------------------------------------------------------------------------------


class Framing:
    """One connection's framing; a new connection takes a new one. The invoke id names each request.

    Implements links.DatagramFraming, so links.Framing too.
    """

    names_replies = True

    def __init__(self, company: bytes, series: int, position: int, *, check_sums: bool = True) -> None:
        """position: of the module, base × 16 + slot. check_sums: of replies; those of 0 are always taken."""
        self.discarded = ""
        self.untouched = True
        self._company = company
        self._series = series
        self._position = position
        self._check_sums = check_sums
        self._invoke_id = 0
        self._awaiting = False
        self._buffer = b""

    def request(self, body: bytes) -> bytes:
        """The bytes to send; from now on `receive` looks for the reply to this one."""
        self._invoke_id = self._invoke_id % 0xFFFF + 1
        self._awaiting = True
        self.untouched = True
        self.discarded = ""
        header = _HEADER.pack(
            self._company, 0, self._series, _FROM_CLIENT, self._invoke_id, len(body), self._position
        )
        return header + bytes((sum(header) & 0xFF,)) + body

    def receive(self, data: bytes) -> Reply | None:
        """The awaited reply, once it is whole. Raises Garbage."""
        self.untouched = False
        if self._buffer:
            data = self._buffer + data
        answer: Reply | None = None
        while len(data) >= HEADER_BYTES:
            plc_info, series, invoke_id, length = self._header(data)
            end = HEADER_BYTES + length
            if len(data) < end:
                break
            if self._awaiting and invoke_id == self._invoke_id:
                answer = Reply(plc_info, series, data[HEADER_BYTES:end])
                self._awaiting = False
            else:
                self.discarded = f"a reply to request {invoke_id} instead of {self._invoke_id}"
            data = data[end:]
        self._buffer = data
        return answer

    def _header(self, data: bytes) -> tuple[int, int, int, int]:
        company, plc_info, series, source, invoke_id, length, _, bcc = _REPLY_HEADER.unpack_from(data)
        if company not in _KNOWN_COMPANIES or source != _FROM_PLC or length not in _LENGTHS:
            raise Garbage("what came is not a reply of an XGT PLC")
        if self._check_sums and bcc and sum(data[: HEADER_BYTES - 1]) & 0xFF != bcc:
            raise Garbage("a header came with a wrong checksum")
        return plc_info, series, invoke_id, length

    def abandon(self) -> bool:
        """Stops awaiting. Whether the stream may still be used: no reply has begun."""
        self._awaiting = False
        return not self._buffer

    def forget(self) -> None:
        """Half a frame will never be completed: where each datagram is whole."""
        self._buffer = b""
