"""A link over one TCP connection, plain or inside of TLS, to a station or gateway."""

import asyncio
import ssl
from typing import cast

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.errors import Garbage, Unanswered
from edge_agent.drivers.modbus.framing import Framing
from edge_agent.drivers.modbus.link import Link
from edge_agent.drivers.modbus.tls import refusal_hint, tls_context, tls_error_text
from edge_agent.drivers.modbus.transports import RtuOverTcpTransport, TcpTransport, TlsTransport


class StreamLink(Link, asyncio.Protocol):
    """Made by `open_stream`."""

    def __init__(self, framing: Framing, timeout_seconds: float, hint: str = "") -> None:
        """hint: what it may mean if the peer ends the connection before it has answered anything."""
        super().__init__(framing, timeout_seconds)
        self._hint = hint
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
        if isinstance(exc, ssl.SSLError):
            self.drop(tls_error_text(exc))
            return
        why = "the peer closed the connection" if exc is None else f"the connection broke: {exc}"
        self.drop(why if self._answered else why + self._hint)


async def open_stream(
    transport: TcpTransport | RtuOverTcpTransport | TlsTransport, framing: Framing
) -> StreamLink:
    """Raises NotConnected with the reason."""
    timeout, where = transport.timeout, f"{transport.host}:{transport.port}"
    context = name = None
    hint = ""
    if isinstance(transport, TlsTransport):
        context, name = await tls_context(transport), transport.server_name or transport.host
        hint = refusal_hint(transport)
    loop = asyncio.get_running_loop()
    try:
        if context is not None:
            # asyncio leaves the socket open where TLS cannot take the name, so it is tried without one.
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        async with asyncio.timeout(timeout):
            _, link = await loop.create_connection(
                lambda: StreamLink(framing, timeout, hint), transport.host, transport.port,
                ssl=context, server_hostname=name,
            )  # fmt: skip
    except TimeoutError as error:
        raise NotConnected(f"{where} does not answer within {timeout:g} s") from error
    except OSError as error:
        raise NotConnected(f"cannot connect to {where}: {tls_error_text(error)}") from error
    except (ValueError, TypeError) as error:  # a name that the resolver or TLS cannot even be asked for
        raise NotConnected(f"cannot connect to {where}: {error}") from error
    return link
