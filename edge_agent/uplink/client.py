"""Exchanges with the centre: one method a route; every ending is a value or one of this room's errors.

Answers are bounded and must be what only a centre would say: a captive portal answers 200 too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError

from edge_agent.config.models import CentralSettings
from edge_agent.uplink.errors import (
    BodyTooLarge,
    Invalid,
    NotAccepted,
    Refused,
    RetryAfter,
    SeqConflict,
    Unusable,
    UplinkFault,
)
from edge_agent.uplink.transport import Reply, Transport
from edge_agent.wire.messages import ConflictAnswer, Heartbeat, HeartbeatAnswer, Message, UploadAnswer
from edge_agent.wire.upload import CONTENT_TYPE

M = TypeVar("M", bound=Message)

REQUEST_SECONDS: Final = 30.0
# An upload gets more time, so that a full POST passes over a mobile link of this speed.
SLOWEST_BYTES_A_SECOND: Final = 8192
# The one that was shown, and the one that took its place meanwhile.
_CREDENTIALS: Final = 2
_DEFAULT_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A config, or a set of scripts, that differs from the one asked about: JSON that was not looked into,
    since it may be long. `etag` is the opaque tag, without quotes."""

    body: bytes
    etag: str


class Judge(Protocol):
    """Is told how the centre takes this device's token."""

    def good(self, bearer: str) -> None: ...

    def bad(self, bearer: str | None, detail: str) -> None: ...


def transport_of(settings: CentralSettings, device: str, directory: Path) -> Transport:
    """The way that the address names. Each is imported where it is used: an agent with an HTTP centre loads
    no MQTT."""
    if is_mqtt(settings):
        from edge_agent.uplink.mqtt import MqttTransport

        return MqttTransport(settings, device, directory)
    from edge_agent.uplink.http import HttpTransport

    return HttpTransport(settings, directory)


def is_mqtt(settings: CentralSettings) -> bool:
    return urlsplit(settings.url).scheme in ("mqtt", "mqtts")


class CentreClient:
    """One way to the centre. `open` before use, `close` at the end; safe to use concurrently."""

    def __init__(
        self,
        settings: CentralSettings,
        device: str,
        directory: Path,
        request_seconds: float = REQUEST_SECONDS,
        token: Callable[[], str] | None = None,
        judge: Judge | None = None,
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        """directory: what `ca_file` is relative to. request_seconds: for a whole exchange of few bytes.
        token: asked at every request, since credentials are replaced while the agent runs; absent: the
        settings' own. It raises NotAccepted where there is none. on_connected: there is a new connection to
        a broker, which has told everybody that the one before it is gone."""
        self._token = token or (lambda: str(settings.token))
        self._judge = judge
        self._device = device
        self._directory = directory
        self._request_seconds = request_seconds
        self._base = f"/api/fleet/edge/{device}"
        self._on_connected = on_connected
        self._transport = self._way(settings)

    def _way(self, settings: CentralSettings) -> Transport:
        found = transport_of(settings, self._device, self._directory)
        found.on_connected = self._on_connected
        return found

    @property
    def most_bytes(self) -> int:
        """That an upload may have."""
        return self._transport.most_bytes

    async def open(self) -> None:
        """What cannot be had yet every request asks for again."""
        await self._transport.open()

    async def close(self) -> None:
        await self._transport.close()

    async def renew(self) -> None:
        """Gives up every connection; requests that are under way end with Unreachable. Raises nothing."""
        await self._transport.renew()

    async def move(self, settings: CentralSettings) -> None:
        """To another address, or the same one by another way; connections begin anew."""
        old, self._transport = self._transport, self._way(settings)
        await self._transport.open()
        await old.renew()
        await old.close()

    async def upload(self, body: bytes) -> UploadAnswer:
        """The body is one of wire.upload. Raises UplinkFault, like all that follow."""
        reply = await self.exchange("POST", "/data", body, CONTENT_TYPE)
        return parse_answer(UploadAnswer, reply)

    async def put_schema(self, name: str, body: bytes) -> None:
        reply = await self.exchange("PUT", f"/schemas/{name}", body, "application/json")
        if reply.status not in (200, 201, 204):
            raise Unusable(f"unexpected answer {reply.status} to a schema")

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        await self._transport.announce(heartbeat)
        body = heartbeat.model_dump_json().encode()
        reply = await self.exchange("POST", "/heartbeat", body, "application/json")
        return parse_answer(HeartbeatAnswer, reply)

    async def config(self, etag: str | None) -> NewDocument | None:
        """The config if there is one and it is not the one with `etag`. A device without one gets 404."""
        return await self._document("config", etag)

    async def scripts(self, etag: str | None) -> NewDocument | None:
        """The set of scripts (`wire.scripts`) if it is not the one with `etag`. A device that never
        had one gets 404, as from a centre that knows no scripts; one that lost its last an empty set."""
        return await self._document("scripts", etag)

    async def _document(self, what: str, etag: str | None) -> NewDocument | None:
        known = opaque_tag(etag)
        try:
            reply = await self.exchange("GET", f"/{what}", None, None, known and f'"{known}"')
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        if reply.status == 304:
            return None
        tag = opaque_tag(reply.etag)
        if tag is None:
            raise Unusable(f"{what}: came without an ETag")
        if not reply.body.startswith(b"{"):
            raise Unusable(f"{what}: what came is not a JSON object")
        return NewDocument(reply.body, tag)

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
            if bearer:
                headers["Authorization"] = f"Bearer {bearer}"
            reply = await self._transport.request(method, self._base + path, body, headers, seconds)
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
        headers = {"Content-Type": "application/json"}
        path, seconds = "/api/fleet/provision", self._request_seconds
        return await self._transport.request("POST", path, body, headers, seconds)

    def _bearer(self) -> str:
        """Empty where the way does not show any."""
        if not self._transport.shows_token:
            return ""
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


def opaque_tag(etag: str | None) -> str | None:
    """What stands between the quotes of an ETag (RFC 9110, 8.8.3), weak or not; hints come without them."""
    return None if etag is None else etag.removeprefix("W/").strip('"')


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
