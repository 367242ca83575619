"""A link over UDP: a datagram is a frame. There is no connection, so opening one asks nobody.

A request or reply that is lost costs a time-out. Replies are told apart by their transaction id; late,
repeated and foreign datagrams are passed over, as a stream of them cannot come out of step.
"""

import asyncio
from typing import cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.errors import Garbage
from edge_agent.drivers.modbus.framing import TcpFraming
from edge_agent.drivers.modbus.link import Link


class DatagramLink(Link, asyncio.DatagramProtocol):
    """Made by `open_datagrams`."""

    def __init__(self, where: str, timeout_seconds: float) -> None:
        framing = TcpFraming()
        super().__init__(framing, timeout_seconds)
        self._frames = framing
        self._where = where
        self._transport: asyncio.DatagramTransport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.sendto(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _addr: object) -> None:
        try:
            self._answer(self._frames.receive(data))
        except Garbage as error:
            self._frames.discarded = str(error)
        self._frames.forget()

    def error_received(self, exc: Exception) -> None:
        """The network says that a request did not arrive, such as by ICMP «port unreachable»."""
        self.drop(f"nothing can be sent to {self._where}: {getattr(exc, 'strerror', None) or exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.drop(f"the socket broke: {exc}")


async def open_datagrams(host: str, port: int, timeout_seconds: float) -> DatagramLink:
    """Raises NotConnected where there is no such host or no way to it."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, link = await loop.create_datagram_endpoint(
                lambda: DatagramLink(f"{host}:{port}", timeout_seconds), remote_addr=(host, port)
            )
    except TimeoutError as error:
        raise NotConnected(f"{host} was not found within {timeout_seconds:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot reach {host}:{port}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # a name that the resolver cannot even be asked for
        raise NotConnected(f"cannot reach {host}:{port}: {error}") from error
    return link
