"""A link over one TCP connection, plain or inside of TLS, to a station or gateway.

pymodbus' client is not used for this: it waits out the time-out when the peer closes in the middle of a
request, takes replies with transaction id 0 or another function code, forgets half a reply when it sends
the next request, and costs twice the CPU of this protocol for a read of 125 registers. Its framer for
RTU is used (framing.py).
"""

import asyncio
import ssl

from edge_agent.drivers.links import StreamLink, connecting
from edge_agent.drivers.modbus.framing import Framing
from edge_agent.drivers.modbus.tls import refusal_hint, tls_context, tls_error_text
from edge_agent.drivers.modbus.transports import RtuOverTcpTransport, TcpTransport, TlsTransport


class ModbusStream(StreamLink[bytes, int, bytes]):
    """Made by `open_stream`."""

    def __init__(self, framing: Framing, timeout_seconds: float, hint: str = "") -> None:
        """hint: what it may mean if the peer ends the connection before it has answered anything."""
        super().__init__(framing, timeout_seconds)
        self._hint = hint

    def _why_lost(self, exc: Exception | None) -> str:
        if isinstance(exc, ssl.SSLError):
            return tls_error_text(exc)
        why = super()._why_lost(exc)
        return why if self._answered else why + self._hint


async def open_stream(
    transport: TcpTransport | RtuOverTcpTransport | TlsTransport, framing: Framing
) -> ModbusStream:
    """Raises NotConnected with the reason."""
    timeout = transport.timeout
    context = name = None
    hint = ""
    if isinstance(transport, TlsTransport):
        context, name = await tls_context(transport), transport.server_name or transport.host
        hint = refusal_hint(transport)
    async with connecting(f"{transport.host}:{transport.port}", timeout, tls_error_text):
        if context is not None:
            # asyncio leaves the socket open where TLS cannot take the name, so it is tried without one.
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: ModbusStream(framing, timeout, hint), transport.host, transport.port,
            ssl=context, server_hostname=name,
        )  # fmt: skip
    return link
