"""HTTP with the centre: one method a route; every ending is a value or one of this room's errors.

Answers are bounded and must be what only a centre would say: a captive portal answers 200 too.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiohttp
import orjson
from pydantic import ValidationError

from edge_agent.config.models import CentralSettings
from edge_agent.runtime.supervise import asked_to_stop
from edge_agent.uplink.errors import (
    BodyTooLarge,
    Invalid,
    NotAccepted,
    Refused,
    RetryAfter,
    SeqConflict,
    Unreachable,
    Unusable,
    UplinkFault,
)
from edge_agent.wire.messages import ConflictAnswer, Heartbeat, HeartbeatAnswer, Message, UploadAnswer
from edge_agent.wire.upload import CONTENT_TYPE

M = TypeVar("M", bound=Message)

REQUEST_SECONDS: Final = 30.0
# An upload gets more time, so that a full POST passes over a mobile link of this speed.
SLOWEST_BYTES_A_SECOND: Final = 8192
CONNECT_SECONDS: Final = 10.0
# A link that swallows everything is given up by the kernel after this, not at the end of the request.
UNACKNOWLEDGED_MS: Final = 8000
PROBE_SECONDS: Final = 3
MAX_ANSWER_BYTES: Final = 8 << 20
# The one that was shown, and the one that took its place meanwhile.
_CREDENTIALS: Final = 2
_DEFAULT_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class NewConfig:
    """A config that differs from the one asked about: an envelope that was not looked into, since it may
    be long. `etag` is the opaque tag, without quotes."""

    body: bytes
    etag: str


class Judge(Protocol):
    """Is told how the centre takes this device's token."""

    def good(self, bearer: str) -> None: ...

    def bad(self, bearer: str | None, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    etag: str | None
    retry_after: str | None
    location: str


class CentreClient:
    """One session with keep-alive. `open` before use, `close` at the end; safe to use concurrently."""

    def __init__(
        self,
        settings: CentralSettings,
        device: str,
        directory: Path,
        request_seconds: float = REQUEST_SECONDS,
        token: Callable[[], str] | None = None,
        judge: Judge | None = None,
    ) -> None:
        """directory: what `ca_file` is relative to. request_seconds: for a whole exchange of few bytes.
        token: asked at every request, since credentials are replaced while the agent runs; absent: the
        settings' own. It raises NotAccepted where there is none."""
        self._token = token or (lambda: str(settings.token))
        self._judge = judge
        self._settings = settings
        self._directory = directory
        self._request_seconds = request_seconds
        self._base = f"{settings.url}/api/fleet/edge/{device}"
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """While `ca_file` cannot be used every request raises Unreachable: the file may come later."""
        with contextlib.suppress(Unreachable):
            await self._opened()

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        ssl=await self._trust(), limit=8, socket_factory=_open_socket
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
        return self._session

    async def _trust(self) -> ssl.SSLContext | bool:
        """What certificates are judged by. Raises Unreachable."""
        if self._settings.ca_file is None:
            return True
        ca_file = str(self._directory / self._settings.ca_file)
        try:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise Unreachable(f"central.ca_file: {ca_file}: {error.strerror or error}") from error
        # What stands in the file is trusted itself, be it the centre's own certificate or an authority's.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

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

    async def move(self, settings: CentralSettings) -> None:
        """To another address, or the same one by another way; connections begin anew."""
        self._base = settings.url + self._base.removeprefix(self._settings.url)
        self._settings = settings
        await self.renew()

    async def upload(self, body: bytes) -> UploadAnswer:
        """The body is one of wire.upload. Raises UplinkFault, like all that follow."""
        reply = await self.exchange("POST", "/data", body, CONTENT_TYPE)
        return parse_answer(UploadAnswer, reply)

    async def put_schema(self, name: str, body: bytes) -> None:
        reply = await self.exchange("PUT", f"/schemas/{name}", body, "application/json")
        if reply.status not in (200, 201, 204):
            raise Unusable(f"unexpected answer {reply.status} to a schema")

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        body = heartbeat.model_dump_json().encode()
        reply = await self.exchange("POST", "/heartbeat", body, "application/json")
        return parse_answer(HeartbeatAnswer, reply)

    async def config(self, etag: str | None) -> NewConfig | None:
        """The config if there is one and it is not the one with `etag`. A device without one gets 404."""
        known = opaque_tag(etag)
        try:
            reply = await self.exchange("GET", "/config", None, None, known and f'"{known}"')
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        if reply.status == 304:
            return None
        tag = opaque_tag(reply.etag)
        if tag is None:
            raise Unusable("the config came without an ETag")
        if not reply.body.startswith(b"{"):
            raise Unusable("the config is not a JSON object")
        return NewConfig(reply.body, tag)

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None,
        if_none_match: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Reply:
        """One request below this device's resources and its good answer. wait_seconds: how long the centre
        may hold the answer back. Raises UplinkFault."""
        headers: dict[str, str] = {}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if if_none_match is not None:
            headers["If-None-Match"] = if_none_match
        seconds = self._request_seconds + wait_seconds + len(body or b"") / SLOWEST_BYTES_A_SECOND
        fault: UplinkFault | None = None
        for _ in range(_CREDENTIALS):
            bearer = self._bearer()
            headers["Authorization"] = f"Bearer {bearer}"
            reply = await self._request(method, self._base + path, body, headers, seconds)
            fault = _fault(reply)
            if fault is None:
                self._tell(bearer, reply.status, None)
                return reply
            # A request that was on its way while the credential was replaced says nothing about the new one.
            if not isinstance(fault, NotAccepted) or self._bearer() == bearer:
                break
        assert fault is not None, "it was asked at least once"
        self._tell(bearer, reply.status, fault)
        raise fault

    async def provision(self, body: bytes) -> Reply:
        """Asks for a credential, without one. Every status is an answer. Raises Unreachable."""
        url = f"{self._settings.url}/api/fleet/provision"
        headers = {"Content-Type": "application/json"}
        return await self._request("POST", url, body, headers, self._request_seconds)

    def _bearer(self) -> str:
        try:
            return self._token()
        except NotAccepted as fault:
            if self._judge is not None:
                self._judge.bad(None, str(fault))
            raise

    def _tell(self, bearer: str, status: int, fault: UplinkFault | None) -> None:
        if self._judge is None:
            return
        if isinstance(fault, NotAccepted):
            self._judge.bad(bearer, str(fault))
        elif status in (200, 201, 204, 304):
            self._judge.good(bearer)

    async def _request(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Reply:
        """One request and whatever is answered. Raises Unreachable."""
        session = await self._opened()
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


def opaque_tag(etag: str | None) -> str | None:
    """What stands between the quotes of an ETag (RFC 9110, 8.8.3), weak or not; hints come without them."""
    return None if etag is None else etag.removeprefix("W/").strip('"')


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    total = 0
    async for chunk in response.content.iter_chunked(65536):
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise Unusable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _fault(reply: Reply) -> UplinkFault | None:
    """The error that a status stands for; None for one that carries an answer."""
    text = f"{reply.status}: {problem_text(reply.body)}"
    match reply.status:
        case 200 | 201 | 204 | 304:
            return None
        case 400:
            return Invalid(text)
        case 301 | 302 | 303 | 307 | 308:
            return Unusable(f"{reply.status}: sent elsewhere, to {reply.location[:200]}; not followed")
        case 401 | 403:
            return NotAccepted(text, reply.status)
        case 404:
            return Refused(text, reply.status, problem_code(reply.body))
        case 409:
            return _conflict(text, reply.body)
        case 413:
            return BodyTooLarge(text, _max_bytes(reply.body))
        case 429 | 503:
            return RetryAfter(text, retry_seconds(reply.retry_after))
    return Unusable(text)


def retry_seconds(header: str | None) -> float:
    """The pause that a Retry-After header asks for, bounded. Dates are not worth trusting a clock for."""
    try:
        seconds = float(header) if header is not None else _DEFAULT_RETRY_SECONDS
    except ValueError:
        return _DEFAULT_RETRY_SECONDS
    return min(max(seconds, 0.1), _LONGEST_RETRY_SECONDS) if seconds == seconds else _DEFAULT_RETRY_SECONDS


def problem_text(body: bytes) -> str:
    """What a problem document (RFC 9457) says, or the beginning of whatever came instead."""
    problem = _json_object(body)
    if problem is not None:
        return str(problem.get("detail") or problem.get("title") or "")[:300]
    return " ".join(body[:100].decode("utf-8", "replace").split())


def problem_code(body: bytes) -> str:
    """Empty where it is no problem document of the centre's."""
    problem = _json_object(body)
    code = problem.get("code") if problem is not None else None
    return code if isinstance(code, str) else ""


def _max_bytes(body: bytes) -> int | None:
    problem = _json_object(body)
    limit = problem.get("max") if problem is not None else None
    return limit if type(limit) is int and limit > 0 else None


def _conflict(text: str, body: bytes) -> SeqConflict:
    """With the names that it is about, where it says which."""
    try:
        names = ConflictAnswer.model_validate_json(body)
    except ValidationError:
        return SeqConflict(text)
    return SeqConflict(text, names.epoch, names.conflicts)


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def parse_answer(model: type[M], reply: Reply) -> M:
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        raise Unusable(f"{reply.status}, but the answer is not the centre's") from error
