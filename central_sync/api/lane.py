"""The short way for what a fleet sends most: heartbeats that say nothing new, and polls of a config or of
scripts that are still the same (docs/decisions/0024-quiet-heartbeats.md).

A connection begins here. A request that came whole in one piece, of exactly these two kinds, with plain
headers, from a credential in memory and about a device in the roll is answered at once: no task, no router,
no database. Anything else, whatever it is, hands the connection over to aiohttp with the bytes that came, and
for good: there is one way to be refused, and one that reads bodies. Both ways give the same answer but for
the order of headers; a test compares them.
"""

import asyncio
import re
import secrets
import ssl
import time
from email.utils import formatdate
from typing import Final, cast

from aiohttp import web

from central_sync.api.authentication import Gate
from central_sync.api.lateness import Lateness
from central_sync.api.problems import of_refusal
from central_sync.api.server import Network, common_headers, is_proxy
from central_sync.services.configs.service import no_config
from central_sync.services.devices.service import DeviceService
from central_sync.services.errors import Refusal
from central_sync.services.scripts.service import no_scripts

# Longer heads are aiohttp's.
MAX_HEAD_BYTES: Final = 8_192
MAX_BODY_BYTES: Final = 64 << 10
# A fleet that comes back after an outage knocks all at once.
BACKLOG: Final = 4_096
_REQUEST: Final = re.compile(
    rb"(?:POST /api/fleet/edge/([a-z0-9-]{1,51})/heartbeat|"
    rb"GET /api/fleet/edge/([a-z0-9-]{1,51})/(config|scripts)) HTTP/1\.1"
)
# Headers that change nothing here. One that is not among them, or comes twice, is aiohttp's affair.
_PLAIN: Final = frozenset({
    b"accept", b"accept-encoding", b"accept-language", b"authorization", b"content-length", b"content-type",
    b"host", b"if-none-match", b"user-agent", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
    b"x-real-ip",
})  # fmt: skip
_BEARER: Final = re.compile(r"Bearer hf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ETAG: Final = re.compile(rb'"([0-9a-f]{32})"')


def header_lines(secure: bool) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in common_headers(secure, "no-store").items()]
    return "".join(lines).encode()


class QuickAnswers:
    """Whole requests to whole answers, out of memory. secure: browsers shall insist on TLS."""

    def __init__(self, gate: Gate, devices: DeviceService, secure: bool) -> None:
        self._gate = gate
        self._devices = devices
        self._headers = header_lines(secure)
        self._second = 0
        self._date = b""
        self._prefix = secrets.token_hex(4)
        self._number = 0

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._prefix}-{self._number:x}"

    def answer(self, data: bytes) -> bytes | None:
        """None: not for here."""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            return None
        first, *lines = data[:end].split(b"\r\n")
        match = _REQUEST.fullmatch(first)
        headers = plain_headers(lines)
        if match is None or headers is None:
            return None
        body = data[end + 4 :]
        if match[1] is not None:
            return self._heartbeat(match[1].decode(), headers, body)
        return self._poll(match[2].decode(), match[3] == b"scripts", headers, body)

    def _is_from(self, device: str, headers: dict[bytes, bytes]) -> bool:
        match = _BEARER.fullmatch(headers.get(b"authorization", b"").decode("latin-1"))
        return match is not None and self._gate.knows_device(match[1], match[2], device)

    def _heartbeat(self, device: str, headers: dict[bytes, bytes], body: bytes) -> bytes | None:
        length = headers.get(b"content-length", b"")
        if length != b"%d" % len(body) or len(body) > MAX_BODY_BYTES or b"if-none-match" in headers:
            return None
        if headers.get(b"content-type") != b"application/json" or not self._is_from(device, headers):
            return None
        try:
            answer = self._devices.quiet(device, body)
        except Refusal:
            return None
        if answer is None:
            return None
        text = answer.model_dump_json().encode()
        return self._whole(b"200 OK", b"Content-Type: application/json\r\n", text, self._next_id())

    def _poll(self, device: str, of_scripts: bool, headers: dict[bytes, bytes], body: bytes) -> bytes | None:
        if body or b"content-length" in headers or b"content-type" in headers:
            return None
        known = self._devices.desired(device)
        if known is None or not self._is_from(device, headers):
            return None
        etag = known.scripts_etag if of_scripts else known.config_etag
        if etag is None:
            return self._nothing(no_scripts(device) if of_scripts else no_config(device))
        match = _ETAG.fullmatch(headers.get(b"if-none-match", b""))
        if match is None or match[1].decode() != etag:
            return None
        lines = self._common(self._next_id())
        return b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n%b\r\n" % (match[0], lines)

    def _nothing(self, refusal: Refusal) -> bytes:
        name = self._next_id()
        refusal.extra["request_id"] = name
        response = of_refusal(refusal)
        assert isinstance(response.body, bytes)
        kind = f"Content-Type: {response.headers['Content-Type']}\r\n"
        return self._whole(b"404 Not Found", kind.encode(), response.body, name)

    def _whole(self, status: bytes, kind: bytes, body: bytes, name: str) -> bytes:
        return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
            status, kind, len(body), self._common(name), body,
        )  # fmt: skip

    def _common(self, name: str) -> bytes:
        return b"%bX-Request-Id: %b\r\n%b" % (self._headers, name.encode(), self._now())

    def _now(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._date


def plain_headers(lines: list[bytes]) -> dict[bytes, bytes] | None:
    """By name in small letters; None where anything is not as a plain client sends it."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name not in _PLAIN or name in found:
            return None
        # A bare CR, LF or NUL is how one request is passed off as two.
        if b"\r" in value or b"\n" in value or b"\0" in value:
            return None
        found[name] = value.strip(b" \t")
    return found if b"host" in found else None


class Lane(asyncio.Protocol):
    """One connection until something comes that is not for here."""

    __slots__ = ("_door", "_peer", "_transport")

    def __init__(self, door: "Door") -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._peer: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one without being its child.
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if name else None
        self._door.entered(self)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        refusal = self._door.refusal()
        if refusal is not None:
            self._door.left(self)
            self._transport.write(refusal)
            self._transport.close()
            return
        answer = self._door.answer(data, self._peer)
        if answer is None:
            self._hand_over(self._transport, data)
            return
        self._transport.write(answer)
        self._door.entered(self)

    def _hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        self._door.left(self)
        handler = self._door.handler()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)

    def pause_writing(self) -> None:
        """Somebody asks and asks, and reads no answer."""
        self.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._door.left(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Door:
    """Where connections come in. `listen` once; `close` cleans the runner up too."""

    def __init__(
        self,
        runner: web.AppRunner,
        quick: QuickAnswers | None,
        idle_seconds: float,
        proxies: Network | None,
        secure: bool,
        lateness: Lateness | None = None,
    ) -> None:
        """quick: None leaves everything to aiohttp. idle_seconds: how long a connection may say nothing.
        proxies: the only peers answered here. secure: browsers shall insist on TLS."""
        self._lateness = lateness or Lateness()
        self._headers = header_lines(secure)
        self._runner = runner
        self._quick = quick
        self._idle_seconds = idle_seconds
        self._lanes: dict[Lane, float] = {}  # the one that is silent longest first
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._proxies = proxies

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Where it listens. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Lane(self), host, port, ssl=tls, backlog=BACKLOG)
        self._sweep()
        self._lateness.start()
        name, number, *_ = self._server.sockets[0].getsockname()
        return name, number

    async def close(self) -> None:
        """No new connections; silent ones end, and requests finish."""
        if self._server is not None:
            self._server.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._lateness.stop()
        for lane in list(self._lanes):
            lane.close()
        await self._runner.cleanup()

    # --- for the lanes --------------------------------------------------------------------------------

    def refusal(self) -> bytes | None:
        """What everybody gets while the centre is behind."""
        return self._lateness.answer(self._headers) if self._lateness.is_late else None

    def answer(self, data: bytes, peer: str | None) -> bytes | None:
        if self._quick is None:
            return None
        if self._proxies is not None and not is_proxy(peer, self._proxies):
            return None
        return self._quick.answer(data)

    def entered(self, lane: Lane) -> None:
        """It is silent from now on."""
        self._lanes.pop(lane, None)
        self._lanes[lane] = time.monotonic()

    def left(self, lane: Lane) -> None:
        self._lanes.pop(lane, None)

    def handler(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "the runner is set up before anybody comes"
        return server()

    def _sweep(self) -> None:
        before = time.monotonic() - self._idle_seconds
        while self._lanes:
            lane, since = next(iter(self._lanes.items()))
            if since > before:
                break
            lane.close()
            self._lanes.pop(lane, None)
        wait = min(1.0, self._idle_seconds / 4)
        self._sweeping = asyncio.get_running_loop().call_later(wait, self._sweep)
