"""How much a server may send at once. The library sets no bound by itself, whatever it is told to offer.

A message is held until its last chunk has come, and a chunk until its last byte: without a bound, a server
that never ends either fills the memory. The offer goes out with Hello (Part 6, 7.1.2.3), so that servers
answer with BadResponseTooLarge in time; one that sends more all the same loses the link.
"""

import asyncio
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.connection import TransportLimits

MOST_MESSAGE_BYTES: Final = 8 << 20
# 64 KiB are offered; some servers have their own mind.
_MOST_CHUNK_BYTES: Final = 1 << 20
_MOST_CHUNKS: Final = 4_096


def bounded_client(url: str, timeout: float) -> Client:
    """A client of the library whose links keep to these bounds."""
    client = Client(url, timeout=timeout)
    client.max_messagesize, client.max_chunkcount = MOST_MESSAGE_BYTES, _MOST_CHUNKS
    make = client.uaclient._make_protocol

    def make_bounded() -> asyncio.Protocol:
        protocol = make()
        protocol._connection._limits = _Limits()
        return _Gate(protocol)

    setattr(client.uaclient, "_make_protocol", make_bounded)  # noqa: B010 - a method of this one client
    return client


class _Limits(TransportLimits):
    """Those of the library, where the server's answer to Hello widens nothing that comes here."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        super().update_client_limits(msg)
        self.max_recv_buffer = _MOST_CHUNK_BYTES
        self.max_message_size = MOST_MESSAGE_BYTES
        self.max_chunk_count = _MOST_CHUNKS


class _Gate(asyncio.Protocol):
    """Before the library's own protocol: ends a link over which a chunk comes that never ends."""

    def __init__(self, behind: UASocketProtocol) -> None:
        self._behind = behind
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._behind.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._behind.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._behind.data_received(data)
        if len(self._behind.receive_buffer or b"") > _MOST_CHUNK_BYTES:
            self._behind.receive_buffer = None
            self._transport.abort()
