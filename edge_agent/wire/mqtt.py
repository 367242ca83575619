"""Requests and answers as MQTT 5 messages: topics, properties, bounds (docs/specs/mqtt-v1.md). Pure.

A request is a message below its device's topics; the answer comes on another topic of the same device and
repeats the request's correlation data. What identifies a device is its topic alone.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.wire.errors import TooLarge, WireError

PREFIX: Final = "holdfast"
# Levels of a prefix: what is no wildcard and none of the broker's own topics.
PREFIX_PATTERN: Final = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,7}$"
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
MAX_CORRELATION_BYTES: Final = 64
# Properties that a request or an answer may have, and the bytes of all of them.
MAX_PROPERTIES: Final = 16
MAX_PROPERTY_BYTES: Final = 2_048
# What topic and properties add to a body, with room.
OVERHEAD_BYTES: Final = 4_096
# Bodies of text above this are deflated.
_DEFLATE_BYTES: Final = 1_024
_DEVICE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?")

# Names of user properties.
STATUS: Final = "status"
WHAT: Final = "what"
NAME: Final = "name"
COMMAND: Final = "command"
ETAG: Final = "etag"
WAIT: Final = "wait"
MAX: Final = "max"
RETRY_AFTER: Final = "retry-after"
ENCODING: Final = "encoding"
DEFLATE: Final = "deflate"


class Channel(StrEnum):
    """The last level of a device's topics."""

    STATUS = "status"
    METRICS = "metrics"
    DATA = "data"
    SCHEMAS = "schemas"
    RESPONSES = "responses"
    REQUESTS = "requests"
    PLC_STATUS = "plc-status"
    COMMANDS = "commands"
    ACKS = "acks"


# What the centre listens to. `metrics` and `plc-status` are for others: it has them from the heartbeat.
UP: Final = (Channel.STATUS, Channel.DATA, Channel.SCHEMAS, Channel.RESPONSES, Channel.REQUESTS)
# What a device listens to.
DOWN: Final = (Channel.COMMANDS, Channel.ACKS)


class What(StrEnum):
    """What a request of the channels `requests` and `responses` is about."""

    CONFIG = "config"
    SCRIPTS = "scripts"
    COMMANDS = "commands"
    REPORT = "report"
    ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Address:
    device: str
    channel: Channel


def topic(prefix: str, device: str, channel: Channel) -> str:
    return f"{prefix}/devices/{device}/{channel}"


def subscriptions(prefix: str, group: str) -> list[str]:
    """What the centre subscribes to: each message goes to one member of the group."""
    return [f"$share/{group}/{prefix}/devices/+/{channel}" for channel in UP]


def parse_topic(prefix: str, text: str) -> Address | None:
    """None: no topic of a device's."""
    head, _, rest = text.partition(f"{prefix}/devices/")
    device, _, channel = rest.partition("/")
    if head or not _DEVICE.fullmatch(device) or channel not in list(Channel):
        return None
    return Address(device, Channel(channel))


def properties(pairs: Iterable[tuple[str, str]] | None) -> dict[str, str]:
    """User properties by name. Raises WireError for too many, too long ones, and for a name given twice."""
    found: dict[str, str] = {}
    size = 0
    for name, text in pairs or ():
        size += len(name) + len(text)
        if name in found or len(found) >= MAX_PROPERTIES or size > MAX_PROPERTY_BYTES:
            raise WireError("user properties: too many, too long, or one twice")
        found[name] = text
    return found


def pack(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The payload that carries a body of text, and the property that says how."""
    if len(body) <= _DEFLATE_BYTES:
        return body, {}
    return zlib.compress(body, 6), {ENCODING: DEFLATE}


def unpack(payload: bytes, said: Mapping[str, str], most: int) -> bytes:
    """The body, of at most so many bytes. Raises TooLarge, WireError."""
    encoding = said.get(ENCODING)
    if encoding is None:
        if len(payload) > most:
            raise TooLarge(f"the body may hold {most} bytes")
        return payload
    if encoding != DEFLATE:
        raise WireError(f"encoding {encoding[:20]!r} is not known; there is {DEFLATE}")
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(payload, most + 1)
    except zlib.error as error:
        raise WireError("the body is not deflated") from error
    if len(body) > most:
        raise TooLarge(f"the body may hold {most} bytes")
    if not inflater.eof or inflater.unused_data:
        raise WireError("the body is no whole deflated stream")
    return body
