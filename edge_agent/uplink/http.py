"""HTTP with the centre: one session with keep-alive. What an answer means is the client's affair."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from edge_agent.config.models import CentralSettings
from edge_agent.runtime.supervise import asked_to_stop
from edge_agent.uplink.errors import Unreachable, Unusable
from edge_agent.uplink.transport import MAX_ANSWER_BYTES, Reply
from edge_agent.uplink.trust import trust
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.upload import MAX_BODY_BYTES

CONNECT_SECONDS: Final = 10.0
# A link that swallows everything is given up by the kernel after this, not at the end of the request.
UNACKNOWLEDGED_MS: Final = 8000
PROBE_SECONDS: Final = 3


class HttpTransport:
    """Implements uplink.transport.Transport."""

    shows_token = True
    most_bytes = MAX_BODY_BYTES

    def __init__(self, settings: CentralSettings, directory: Path) -> None:
        """directory: what `ca_file` is relative to."""
        self.on_connected: Callable[[], None] | None = None
        self._settings = settings
        self._directory = directory
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """While `ca_file` cannot be used every request raises Unreachable: the file may come later."""
        with contextlib.suppress(Unreachable):
            await self._opened()

    async def announce(self, heartbeat: Heartbeat) -> None:
        """Nobody but the centre listens."""

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                context = await trust(self._settings, self._directory)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=context or True, limit=8, socket_factory=_open_socket),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def renew(self) -> None:
        """Gives up every connection, and what is known of names and certificates: the next request begins
        from nothing. Requests that are under way end with Unreachable. Raises nothing."""
        async with self._opening:
            old, self._session = self._session, None
        if old is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await old.close()

    async def request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Reply:
        """One request and whatever is answered. Raises Unreachable."""
        session = await self._opened()
        url = self._settings.url + path
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                proxy=self._settings.proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
            ) as response:
                return Reply(
                    response.status,
                    await _read_bounded(response),
                    response.headers.get("ETag"),
                    response.headers.get("Retry-After"),
                    response.headers.get("Location", ""),
                )
        except asyncio.CancelledError as error:
            # Closing a session cancels its look-ups of names, and with them whoever waits for one.
            if asked_to_stop():
                raise
            raise Unreachable("the connection was given up") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"not connected in time: {error}") from error
        except TimeoutError as error:
            raise Unusable(f"no answer in time: {error or f'{seconds:.0f} s'}") from error
        except (aiohttp.ClientConnectorError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        except aiohttp.ClientError as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        # While an answer is awaited nothing of ours is unacknowledged: without probes a dead link would hold
        # the live lane until the end of the request. A slow centre's kernel answers them.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_SECONDS)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
    return opened


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    total = 0
    async for chunk in response.content.iter_chunked(65536):
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise Unusable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
