"""A name that settings refuse, and that reaches a link nevertheless, is no more than a lost connection."""

import asyncio
from typing import Any

import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.opening import open_link
from edge_agent.drivers.modbus.transports import TcpTransport, TlsTransport, Transport, UdpTransport

GOOD = {"host": "127.0.0.1", "timeout": "2s"}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (TcpTransport, {"host": "press1..plant"}),
        (TcpTransport, {"host": "press1\0"}),
        (UdpTransport, {"host": "press1..plant"}),
        (UdpTransport, {"host": "press1\0"}),
        (TlsTransport, {"server_name": ".plant"}),
        (TlsTransport, {"server_name": "a\0b"}),
        (TlsTransport, {"server_name": "x" * 300}),
    ],
)
async def test_a_name_that_cannot_be_asked_for_is_no_connection(kind: Any, bad: dict[str, str]) -> None:
    ended: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: ended.append(writer), "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        transport: Transport = kind.model_validate({**GOOD, "port": port}).model_copy(update=bad)
        with pytest.raises(NotConnected, match=r"cannot (connect to|reach) "):
            await open_link(transport, {})
    finally:
        for writer in ended:
            writer.close()
        server.close()
        await server.wait_closed()
