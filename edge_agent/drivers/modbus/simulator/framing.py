"""How a station finds requests on a stream and frames its answers: Modbus TCP, and RTU over TCP."""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

_RTU_FIXED_BYTES: Final = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 22: 10, 43: 7}
_RTU_COUNTED: Final = (15, 16)


class Request(NamedTuple):
    """transaction: 0 where the framing has none."""

    transaction: int
    unit: int
    pdu: bytes


class StationFraming(Protocol):
    def requests(self, data: bytes) -> Iterator[Request]:
        """The whole requests in what came so far."""
        ...

    def reply(self, transaction: int, unit: int, pdu: bytes, /) -> bytes: ...


class TcpStationFraming:
    def __init__(self) -> None:
        self._buffer = b""

    def requests(self, data: bytes) -> Iterator[Request]:
        if self._buffer:
            data = self._buffer + data
        while len(data) >= 7:
            end = 6 + (data[4] << 8 | data[5])
            if len(data) < end:
                break
            yield Request(data[0] << 8 | data[1], data[6], data[7:end])
            data = data[end:]
        self._buffer = data

    def reply(self, transaction: int, unit: int, pdu: bytes, /) -> bytes:
        return b"%c%c\0\0%c%c%c" % (
            transaction >> 8, transaction & 0xFF, (len(pdu) + 1) >> 8, (len(pdu) + 1) & 0xFF, unit,
        ) + pdu  # fmt: skip


class RtuStationFraming:
    def __init__(self) -> None:
        self._buffer = b""

    def requests(self, data: bytes) -> Iterator[Request]:
        data = self._buffer + data
        while len(data) >= 7:
            size = _RTU_FIXED_BYTES.get(data[1], 9 + data[6] if data[1] in _RTU_COUNTED else 0)
            if size > len(data):
                break
            if not size or crc(data[:size]) != 0:
                data = b""  # noise: a station waits for silence
                break
            yield Request(0, data[0], data[1 : size - 2])
            data = data[size:]
        self._buffer = data

    def reply(self, _transaction: int, unit: int, pdu: bytes, /) -> bytes:
        frame = bytes((unit,)) + pdu
        return frame + crc(frame).to_bytes(2, "little")


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


_CRC_TABLE: Final = tuple(_crc_of_byte(value) for value in range(256))


def crc(data: bytes) -> int:
    """CRC-16 with polynomial 0xA001 from 0xFFFF; 0 over a frame together with its own checksum."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value
