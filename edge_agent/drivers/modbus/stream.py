"""A link over one TCP connection, plain or inside of TLS, to a station or gateway."""

import asyncio
from typing import cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.errors import Garbage, Unanswered
from edge_agent.drivers.modbus.framing import Framing
from edge_agent.drivers.modbus.link import Link


class StreamLink(Link, asyncio.Protocol):
    """Made by `open_stream`."""

    def __init__(self, framing: Framing, timeout_seconds: float) -> None:
        super().__init__(framing, timeout_seconds)
        self._transport: asyncio.Transport | None = None

    def _send(self, data: bytes) -> None:
        assert self._transport is not None  # a link without one is lost
        self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # --- called by the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        try:
            self._answer(self._framing.receive(data))
        except Garbage as error:
            self._fail(Unanswered(str(error)))
            self.drop(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        begun = self._reply is not None and not self._framing.untouched
        self.peer_closed = self._answered and not begun
        self.drop("the peer closed the connection" if exc is None else f"the connection broke: {exc}")


async def open_stream(host: str, port: int, framing: Framing, timeout_seconds: float) -> StreamLink:
    """Raises NotConnected with the reason."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, link = await loop.create_connection(lambda: StreamLink(framing, timeout_seconds), host, port)
    except TimeoutError as error:
        raise NotConnected(f"{host}:{port} does not answer within {timeout_seconds:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {host}:{port}: {error.strerror or error}") from error
    return link
