"""RTU frames on a serial line: the awaited reply is looked for in whatever the line brings. No I/O.

A line carries noise, echoes of our own requests and late replies, and it cannot be opened anew to be rid
of them. So, unlike on a TCP stream, nothing that is odd ends the link: it is passed over. A reply is taken
where unit, function, length and checksum are those of the request; the length tells a late reply to
another request of the same unit, unless both asked for as much (SerialLink waits for those).

The echo of an adapter is told by being the request itself, byte for byte, as it may pass for its reply:
that to a read of 17 to 24 bits at 0x0300 to 0x03FF announces as many bytes as the address does. Without an
echo a true reply equal to its request is therefore not seen, and its tags are bad for that read.
Source: Modbus over Serial Line V1.02, 2.5.1.
"""

from typing import Final

from edge_agent.drivers.modbus.framing import has_good_crc, rtu_framer, rtu_reply_bytes
from edge_agent.drivers.modbus.timing import LONGEST_FRAME_BYTES, reply_data_bytes

_EXCEPTION_BIT: Final = 0x80
_LEAST_BYTES: Final = 5
# Far more than one frame and the noise before it; a line that babbles must not fill the memory.
_KEPT_BYTES: Final = 1024


class SerialFraming:
    """Implements links.Framing."""

    names_replies = False

    def __init__(self) -> None:
        self.discarded = ""
        self.untouched = True
        self._unit = 0
        self._function = 0
        self._data_bytes: int | None = None
        self._sent = b""
        self._awaiting = False
        self._buffer = b""

    def request(self, unit_id: int, pdu: bytes) -> bytes:
        self._unit, self._function = unit_id, pdu[0]
        self._data_bytes = reply_data_bytes(pdu)
        self._awaiting = True
        self._buffer = b""
        self.untouched = True
        self.discarded = ""
        self._sent = rtu_framer().encode(pdu, unit_id, 0)
        return self._sent

    def receive(self, data: bytes) -> bytes | None:
        if not self._awaiting:
            return None
        self.untouched = False
        self._buffer = data = (self._buffer + data)[-_KEPT_BYTES:]
        echo = data.find(self._sent)
        echoed = range(echo, echo + len(self._sent)) if echo >= 0 else range(0)
        for start in range(len(data) - _LEAST_BYTES + 1):
            if data[start] == self._unit and start not in echoed and (pdu := self._reply_at(data, start)):
                self._awaiting = False
                self._buffer = b""
                return pdu
        self.discarded = f"{len(data)} bytes without the reply of unit {self._unit} to this request"
        return None

    def _reply_at(self, data: bytes, start: int) -> bytes:
        """The PDU of the reply that begins there; empty where there is none, or not all of it."""
        function = data[start + 1]
        if function not in (self._function, self._function | _EXCEPTION_BIT):
            return b""
        if function == self._function and self._data_bytes not in (None, data[start + 2]):
            return b""
        size = rtu_reply_bytes(data[start : start + LONGEST_FRAME_BYTES])
        frame = data[start : start + (size or 0)]
        return frame[1:-2] if frame and len(frame) == size and has_good_crc(frame) else b""

    def abandon(self) -> bool:
        """What comes late is passed over by `receive`, and by SerialLink's wait."""
        self._awaiting = False
        return True
