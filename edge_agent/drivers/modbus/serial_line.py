"""A link over a serial port: half-duplex RTU, one request on the wire at a time, for all units of a line.

Between frames the line is silent for 3.5 characters (timing.py). Before a request whatever came unasked
is thrown away. A unit that did not answer is asked again only once it has been quiet for as long again:
RTU has no transaction ids, so the reply that it may still send could be taken for that to the next
request. Other units are asked at once in the meantime; but where the silent unit's own turn comes before
that wait is over, the rest of it is spent within `request`, and the line is idle for everyone.
"""

import asyncio
import contextlib
import errno
import os
import termios
from typing import Any

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.links import Link, Unanswered
from edge_agent.drivers.modbus.serial_framing import SerialFraming
from edge_agent.drivers.modbus.serial_port import close_port, open_port
from edge_agent.drivers.modbus.timing import SerialTiming, reply_data_bytes, reply_frame_bytes
from edge_agent.drivers.modbus.transports import SerialTransport
from edge_agent.drivers.modbus.write import WRITE_COILS, WRITE_REGISTERS

_REQUEST_OVERHEAD_BYTES = 3
_READ_BYTES = 4096


class SerialLink(Link[bytes, int, bytes]):
    """Made by `open_serial`.

    port: an open `serial.Serial`, closed with the link. late: until when (loop time) which units may
    still send a reply that nobody waits for; it outlives the link, as such a reply does. A mark is void
    once its time is over, and a later one of the unit replaces it: there are as many as units, at most.
    """

    def __init__(
        self, port: Any, name: str, timing: SerialTiming, timeout_seconds: float, late: dict[int, float]
    ) -> None:
        super().__init__(SerialFraming(), timeout_seconds)
        self._port = port
        self._name = name
        self._timing = timing
        self._late = late
        self._unit = 0
        self._mistakable = False
        self._silent_from = 0.0
        self._unsent = b""
        self._ended = asyncio.Event()
        self._loop.add_reader(port.fd, self._on_readable)

    async def request(self, unit_id: int, pdu: bytes) -> bytes:
        await self._rest(self._late.get(unit_id, 0.0) - self._loop.time())
        patience = self._loop.time() + self._timeout
        while (now := self._loop.time()) < self._silent_from and not self.lost:
            if now > patience:
                raise Unanswered("the line does not fall silent")
            await self._rest(self._silent_from - now)
        self._unit = unit_id
        self._mistakable = reply_data_bytes(pdu) is not None or pdu[0] in (WRITE_COILS, WRITE_REGISTERS)
        self._wire_seconds = self._timing.exchange_seconds(
            len(pdu) + _REQUEST_OVERHEAD_BYTES, reply_frame_bytes(pdu)
        )
        return await super().request(unit_id, pdu)

    async def _rest(self, seconds: float) -> None:
        """Waits, unless the link ends."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)

    # --- how bytes travel -----------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        try:
            termios.tcflush(self._port.fd, termios.TCIFLUSH)
        except termios.error as error:
            self._gone(error)
            return
        self._silent_from = self._loop.time() + self._timing.frame_seconds(len(data))
        self._unsent = data
        self._write()

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._port.fd, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._gone(error)
            return
        if self._unsent:
            self._loop.add_writer(self._port.fd, self._write)
        else:
            self._loop.remove_writer(self._port.fd)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._port.fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._gone(error)
            return
        if not data:
            self._gone(OSError(errno.EIO, "hung up"))
            return
        self._silent_from = self._loop.time() + self._timing.silence_seconds
        self._answer(self._framing.receive(data))

    def _gone(self, error: Exception) -> None:
        self.drop(f"{self._name} is gone: {getattr(error, 'strerror', None) or error}")

    def _close(self) -> None:
        if self._port.fd is None:
            return
        if self._reply is not None:
            self._expect_late()
        self._ended.set()
        self._loop.remove_reader(self._port.fd)
        self._loop.remove_writer(self._port.fd)
        close_port(self._port)

    def _abandon(self, why: str) -> None:
        self._expect_late()
        super()._abandon(why)

    def _expect_late(self) -> None:
        """A late reply to a function that neither reads nor writes is no reply to one that does."""
        if self._mistakable:
            self._late[self._unit] = self._loop.time() + self._timeout


async def open_serial(settings: SerialTransport, late: dict[int, float]) -> SerialLink:
    """Raises NotConnected with the reason."""
    try:
        async with asyncio.timeout(settings.timeout):
            port = await open_port(settings)
    except TimeoutError as error:
        raise NotConnected(f"{settings.port} did not open within {settings.timeout:g} s") from error
    return SerialLink(port, settings.port, SerialTiming.of(settings), settings.timeout, late)
