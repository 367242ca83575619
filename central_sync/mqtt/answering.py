"""From a request to its answer: by the services that HTTP's handlers call, within the same bounds."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from central_sync.services.access.ratelimit import RateLimit
from central_sync.services.commands.desk import CommandDesk
from central_sync.services.configs.service import ConfigService
from central_sync.services.data.ingest import IngestService
from central_sync.services.devices.admission import Admission
from central_sync.services.devices.service import DeviceService
from central_sync.services.documents import parse_model
from central_sync.services.errors import Invalid, Refusal, TooLarge, TooMany
from central_sync.services.problems import document, retry_after, status_of
from central_sync.services.scripts.service import ScriptService
from edge_agent.wire import mqtt
from edge_agent.wire.commands import MAX_ARTIFACT_BYTES, MAX_WAIT_SECONDS, CommandReport
from edge_agent.wire.errors import TooLarge as WireTooLarge
from edge_agent.wire.errors import WireError
from edge_agent.wire.mqtt import Channel, What
from edge_agent.wire.schema import MAX_SCHEMA_BYTES
from edge_agent.wire.upload import MAX_BODY_BYTES

logger = structlog.get_logger()

MAX_HEARTBEAT_BYTES: Final = 8 << 20
MAX_REPORT_BYTES: Final = 1 << 20
# Larger payloads are unpacked in a thread, and larger answers packed: a deflated one may be a thousand times
# as long as it looks.
_INLINE_PAYLOAD_BYTES: Final = 1 << 10
_INLINE_ANSWER_BYTES: Final = 16 << 10
_LIMITS: Final[Mapping[Channel, int]] = {
    Channel.DATA: MAX_BODY_BYTES,
    Channel.SCHEMAS: MAX_SCHEMA_BYTES,
    Channel.STATUS: MAX_HEARTBEAT_BYTES,
    Channel.RESPONSES: MAX_REPORT_BYTES,
    Channel.REQUESTS: 0,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One message of a device's. said: its user properties."""

    device: str
    channel: Channel
    correlation: bytes
    said: Mapping[str, str]
    payload: bytes

    @property
    def what(self) -> str:
        return self.said.get(mqtt.WHAT, "")

    @property
    def is_held(self) -> bool:
        """Whether the answer may have to wait for something to happen."""
        return self.channel is Channel.REQUESTS and self.what == What.COMMANDS and mqtt.WAIT in self.said

    @property
    def answers_to(self) -> Channel:
        is_offer = self.channel is Channel.REQUESTS and self.what == What.COMMANDS
        return Channel.COMMANDS if is_offer else Channel.ACKS

    @property
    def most_bytes(self) -> int:
        """Of an answer, as the device says."""
        text = self.said.get(mqtt.MAX, "")
        return int(text) if text.isdecimal() and len(text) < 12 else 256 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    said: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desk:
    """What requests may call."""

    admission: Admission
    rates: RateLimit
    ingest: IngestService
    devices: DeviceService
    configs: ConfigService
    scripts: ScriptService
    commands: CommandDesk


async def answer(desk: Desk, request: Request) -> Answer:
    """The edge: whatever goes wrong becomes an answer."""
    try:
        wait = desk.rates.take(request.device)
        if wait > 0:
            raise TooMany("rate_limited", "you ask more often than this centre answers", wait)
        await desk.admission.require(request.device)
        return await _served(desk, request)
    except Refusal as refusal:
        return _refused(refusal)
    except WireTooLarge as error:
        return _refused(TooLarge("too_large", str(error), max=_limit(request)))
    except WireError as error:
        return _refused(Invalid("bad_message", str(error)))
    except Exception:
        logger.exception("request failed", device=request.device, channel=str(request.channel))
        return Answer(500, document(500, "internal", "the centre made a mistake; its log says more"))


def _refused(refusal: Refusal) -> Answer:
    status, pause = status_of(refusal), retry_after(refusal)
    said = {} if pause is None else {mqtt.RETRY_AFTER: pause}
    return Answer(status, document(status, refusal.code, refusal.detail, refusal.extra), said)


def _limit(request: Request) -> int:
    return MAX_ARTIFACT_BYTES if request.what == What.ARTIFACT else _LIMITS[request.channel]


async def _served(desk: Desk, request: Request) -> Answer:
    body = await _body(request)
    device, said = request.device, request.said
    match request.channel:
        case Channel.DATA:
            return Answer(200, (await desk.ingest.upload(device, body)).model_dump_json().encode())
        case Channel.SCHEMAS:
            new = await desk.ingest.put_schema(device, said.get(mqtt.NAME, ""), body)
            return Answer(201 if new else 204)
        case Channel.STATUS:
            return Answer(200, (await desk.devices.heartbeat(device, body)).model_dump_json().encode())
        case Channel.RESPONSES:
            return await _response(desk, request, body)
        case Channel.REQUESTS if request.what == What.CONFIG:
            return await _config(desk, request)
        case Channel.REQUESTS if request.what == What.SCRIPTS:
            return await _scripts(desk, request)
        case Channel.REQUESTS if request.what == What.COMMANDS:
            offers = await desk.commands.offers(device, _wait(said.get(mqtt.WAIT, "0")))
            return Answer(200, offers.model_dump_json().encode())
    raise Invalid("bad_message", f"{request.channel}: {mqtt.WHAT} names nothing that there is")


async def _body(request: Request) -> bytes:
    """Raises WireError, with TooLarge among it."""
    most = _limit(request)
    if len(request.payload) > _INLINE_PAYLOAD_BYTES and mqtt.ENCODING in request.said:
        return await asyncio.to_thread(mqtt.unpack, request.payload, request.said, most)
    return mqtt.unpack(request.payload, request.said, most)


async def _response(desk: Desk, request: Request, body: bytes) -> Answer:
    command = request.said.get(mqtt.COMMAND, "")
    if request.what == What.REPORT:
        await desk.commands.report(request.device, command, parse_model(body, CommandReport))
        return Answer(204)
    if request.what == What.ARTIFACT:
        name = request.said.get(mqtt.NAME, "artifact")
        if not 1 <= len(name) <= 200:
            raise Invalid("bad_query", "name: has 1 to 200 characters")
        stored, new = await desk.commands.receive(request.device, command, name, _one(body))
        return Answer(201 if new else 200, stored.model_dump_json().encode())
    raise Invalid("bad_message", f"responses: {mqtt.WHAT} is {What.REPORT} or {What.ARTIFACT}")


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _config(desk: Desk, request: Request) -> Answer:
    known = await desk.configs.etag(request.device)
    if known is not None and request.said.get(mqtt.ETAG) == known:
        return Answer(304, said={mqtt.ETAG: known})
    row = await desk.configs.get(request.device)
    return Answer(200, row.body, {mqtt.ETAG: row.etag})


async def _scripts(desk: Desk, request: Request) -> Answer:
    known = await desk.scripts.etag(request.device)
    if known is not None and request.said.get(mqtt.ETAG) == known:
        return Answer(304, said={mqtt.ETAG: known})
    found = await desk.scripts.served(request.device)
    return Answer(200, found.body, {mqtt.ETAG: found.etag})


def _wait(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = math.nan
    if not 0 <= wait <= MAX_WAIT_SECONDS:
        raise Invalid("bad_message", f"{mqtt.WAIT}: seconds, at most {MAX_WAIT_SECONDS:g}")
    return wait


async def as_message(request: Request, given: Answer) -> tuple[bytes, dict[str, str]]:
    """Payload and user properties; one that the device could not take becomes a refusal."""
    if len(given.body) > _INLINE_ANSWER_BYTES:
        return await asyncio.to_thread(_as_message, request, given)
    return _as_message(request, given)


def _as_message(request: Request, given: Answer) -> tuple[bytes, dict[str, str]]:
    payload, packed = mqtt.pack(given.body)
    if len(payload) > request.most_bytes:
        text = f"the answer has {len(payload)} bytes, and the device takes {request.most_bytes}"
        given = _refused(TooLarge("answer_too_large", text))
        payload, packed = mqtt.pack(given.body)
    return payload, {mqtt.STATUS: str(given.status), **given.said, **packed}
