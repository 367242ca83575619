"""The centre's routes as MQTT requests, and answers as replies (docs/specs/mqtt-v1.md). Pure."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from edge_agent.uplink.errors import Unusable
from edge_agent.uplink.transport import MAX_ANSWER_BYTES, Reply
from edge_agent.wire import mqtt
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.mqtt import Channel, What

# A poll for commands is held no longer: one that a centre took with it when it stopped is missed so soon.
LONGEST_WAIT_SECONDS: Final = 25.0


@dataclass(frozen=True, slots=True)
class Request:
    """properties: what stands beside the body. wait_seconds: for how long the centre may hold the answer.
    is_text: whether the body is worth deflating."""

    channel: Channel
    properties: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    is_text: bool = True


def request_of(method: str, path: str, if_none_match: str | None) -> Request:
    """path: below the device's resources. Raises Unusable for what goes over HTTP alone."""
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query))
    match method, *(unquote(each) for each in parts.path.strip("/").split("/")):
        case "POST", "data":
            return Request(Channel.DATA, is_text=False)
        case "POST", "heartbeat":
            return Request(Channel.STATUS)
        case "PUT", "schemas", name:
            return Request(Channel.SCHEMAS, {mqtt.NAME: name})
        case "GET", ("config" | "scripts") as document:
            known = {mqtt.ETAG: if_none_match.strip('"')} if if_none_match else {}
            return Request(Channel.REQUESTS, {mqtt.WHAT: What(document), **known})
        case "GET", "commands":
            wait = min(float(query.get("wait", "0")), LONGEST_WAIT_SECONDS)
            said = {mqtt.WHAT: What.COMMANDS, mqtt.WAIT: f"{wait:g}"}
            return Request(Channel.REQUESTS, said, wait)
        case "POST", "commands", command, "report":
            return Request(Channel.RESPONSES, {mqtt.WHAT: What.REPORT, mqtt.COMMAND: command})
        case "PUT", "commands", command, "artifact":
            said = {mqtt.WHAT: What.ARTIFACT, mqtt.COMMAND: command, mqtt.NAME: query.get("name", "artifact")}
            return Request(Channel.RESPONSES, said, is_text=False)
    raise Unusable(f"{method} {parts.path} goes over HTTP alone, and central.url is a broker's")


def reply_of(payload: bytes, pairs: list[tuple[str, str]] | None) -> Reply:
    """Raises Unusable for what is no answer of a centre's."""
    try:
        said = mqtt.properties(pairs)
        body = mqtt.unpack(payload, said, MAX_ANSWER_BYTES)
        status = int(said.get(mqtt.STATUS, ""))
    except ValueError as error:  # WireError is one
        raise Unusable(f"what came is no answer of the centre's: {error}") from error
    return Reply(status, body, said.get(mqtt.ETAG), said.get(mqtt.RETRY_AFTER), "")


def metrics(beat: Heartbeat) -> bytes:
    """For who watches the figures at the broker; the centre has them from the heartbeat."""
    wanted = {"now", "uptime_seconds", "host", "clock", "buffer", "connections_ok", "connections_total",
              "read_samples", "lost_samples"}  # fmt: skip
    return beat.model_dump_json(include=wanted).encode()


def plc_status(beat: Heartbeat) -> bytes:
    """The states of the connections and their units: differs exactly where one of them did."""
    wanted = {"name", "driver", "state", "address", "since", "error", "units"}
    return beat.model_dump_json(include={"connections": {"__all__": wanted}}).encode()
