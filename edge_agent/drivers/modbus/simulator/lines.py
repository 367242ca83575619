"""Simulated stations on a serial line, and in datagrams: transports that a Station takes for a stream."""

import asyncio
import os
import stat
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.drivers.modbus.simulator.station import Station

_READ_BYTES: Final = 4096


class SerialLine(asyncio.Transport):
    """A station at a serial port.

    path: a port that exists, or a name to give to a new pseudo-terminal; empty: a pseudo-terminal has its
    own name. What opens `name` is connected to the station. Raises OSError.
    """

    def __init__(self, path: str, station: Station) -> None:
        super().__init__()
        self._link: Path | None = None
        self._client_side = -1
        if path and _is_port(path):
            self.name = path
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        else:
            # The other side stays open here too, or each client that leaves would end the line.
            self._fd, self._client_side = os.openpty()
            self.name = os.ttyname(self._client_side)
            os.set_blocking(self._fd, False)
            if path:
                self._link = Path(path)
                self._link.unlink(missing_ok=True)
                self._link.symlink_to(self.name)
                self.name = path
        tty.setraw(self._fd, termios.TCSANOW)
        self._station = station
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_readable)
        station.connection_made(self)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._station.data_received(data)
        else:
            self.unplug()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        os.write(self._fd, data)

    def is_closing(self) -> bool:
        return not self._open

    def abort(self) -> None:
        """A line cannot be cut by a station."""

    def close(self) -> None:
        """A line cannot be cut by a station."""

    def unplug(self) -> None:
        """The line is gone for whoever uses it."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._client_side >= 0:
            os.close(self._client_side)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        self._station.connection_lost(None)


def _is_port(path: str) -> bool:
    """Whether it exists and is no name that a simulator gave to a pseudo-terminal."""
    place = Path(path)
    return not place.is_symlink() and place.exists() and stat.S_ISCHR(place.stat().st_mode)


class DatagramPeer(asyncio.Transport):
    """Sends one station's answers back to where a datagram came from."""

    def __init__(self, transport: asyncio.DatagramTransport, address: tuple[str, int]) -> None:
        super().__init__()
        self._transport = transport
        self._address = address

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.sendto(bytes(data), self._address)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        """There is no connection to cut."""

    def close(self) -> None:
        """There is no connection to cut."""


class DatagramStations(asyncio.DatagramProtocol):
    """A UDP port: a station for each datagram, as nothing connects one with the next."""

    def __init__(self, make_station: Callable[[], Station]) -> None:
        self._make_station = make_station
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    async def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()
        await self._closed.wait()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._closed.set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        station = self._make_station()
        station.connection_made(DatagramPeer(self._transport, addr))
        station.data_received(data)
        station.connection_lost(None)
