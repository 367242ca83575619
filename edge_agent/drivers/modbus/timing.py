"""What the wire itself takes: sizes of frames and, on a serial line, their time. Pure.

Source: Modbus over Serial Line V1.02, 2.5.1.1: a frame is followed by a silence of 3.5 characters, and
above 19,200 baud by one of 1.75 ms.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.transports import SerialTransport, Transport, is_serial_line

_SILENT_CHARACTERS: Final = 3.5
_FIXED_SILENCE_ABOVE_BAUD: Final = 19_200
_FIXED_SILENCE_SECONDS: Final = 0.001_75
# Bytes around a request's and a reply's data. Request: MBAP or unit and CRC, function, start, count.
_MBAP_BYTES: Final = (12, 9)
_RTU_BYTES: Final = (8, 5)
LONGEST_FRAME_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class SerialTiming:
    """character_seconds: start bit to stop bits. silence_seconds: between two frames."""

    character_seconds: float
    silence_seconds: float

    @classmethod
    def of(cls, transport: SerialTransport) -> "SerialTiming":
        character = transport.character_bits / transport.baud
        fixed = transport.baud > _FIXED_SILENCE_ABOVE_BAUD
        return cls(character, _FIXED_SILENCE_SECONDS if fixed else _SILENT_CHARACTERS * character)

    def frame_seconds(self, size_bytes: int) -> float:
        return size_bytes * self.character_seconds

    def exchange_seconds(self, sent_bytes: int, received_bytes: int) -> float:
        """A request, a reply, and the silence behind each."""
        return self.frame_seconds(sent_bytes + received_bytes) + 2 * self.silence_seconds


def overhead_bytes(transport: Transport) -> tuple[int, int]:
    """Bytes around the data of a request to read, and of its reply."""
    return _RTU_BYTES if is_serial_line(transport) else _MBAP_BYTES


def bus_seconds(transport: Transport, sent_bytes: int, received_bytes: int) -> float:
    """What one exchange takes on the wire; 0 where the transport has no speed that we know."""
    if isinstance(transport, SerialTransport):
        return SerialTiming.of(transport).exchange_seconds(sent_bytes, received_bytes)
    return 0.0


def reply_data_bytes(pdu: bytes) -> int | None:
    """How many bytes of data answer a request to read bits or registers; None for other functions."""
    if len(pdu) != 5 or not 1 <= pdu[0] <= 4:
        return None
    count = int.from_bytes(pdu[3:5])
    return (count + 7) // 8 if pdu[0] < 3 else 2 * count


def reply_frame_bytes(pdu: bytes) -> int:
    """The longest RTU frame that may answer a request."""
    data = reply_data_bytes(pdu)
    return LONGEST_FRAME_BYTES if data is None else _RTU_BYTES[1] + data
