"""Messages of an MQTT broker: topics, plain and JSON payloads, times, payloads of Sparkplug B."""

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.mqtt.inbox import Inbox, Message
from edge_agent.drivers.mqtt.plan import MqttPlan, plan
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.drivers.mqtt.sparkplug import encode_rebirth
from edge_agent.wire.frame import check_json
from edge_agent.wire.sides import MAX_WALL_MS, MIN_SOURCE_MS

_TYPES: Final = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                 "float32", "float64", "string", "json")  # fmt: skip
_KINDS: Final = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH/d", "DDATA/d", "DDEATH/d", "NCMD", "DCMD/d")
_MOST_BYTES: Final = 4096


def _birth(metrics: bytes, seq: int) -> bytes:
    return b"\x08\x80\xd0\x95\xff\xbc\x2a" + metrics + bytes([0x18, seq])


def _metric(body: bytes) -> bytes:
    return b"\x12" + bytes([len(body)]) + body


_NAMED: Final = b"".join(
    _metric(b"\x0a\x03m%02d\x10" % kind + bytes([kind]) + b"\x20" + bytes([kind]) + value)
    for kind, value in {
        1: b"\x50\xfb\xff\xff\xff\x0f", 4: b"\x58\x05", 9: b"\x65\0\0\x80\x3f", 10: b"\x69" + bytes(8),
        11: b"\x70\x01", 12: b"\x7a\x02hi", 13: b"\x58\x80\xd0\x95\xff\xbc\x2a", 17: b"\x82\x01\x02\0\xff",
        23: b"\x82\x01\x04\x01\0\x02\0", 32: b"\x82\x01\x06\x0c\0\0\0\x34\xd0", 33: b"\x82\x01\x04ab\0\0",
        16: b"\x8a\x01\x14\x08\x01\x12\x01x\x18\x0a\x22\x0b\x0a\x09\x21" + bytes(8),
        19: b"\x92\x01\x0a\x0a\x011\x12\x05\x0a\x01a\x50\x01",
    }.items()
)  # fmt: skip

SEEDS: Final[Sequence[bytes]] = (
    b"\x00\x0021.5",
    b"\x00\x01 ON ",
    b'\x01\x01{"v": [1, 2.5, "3", true, null], "t": "2026-11-21T14:00:00+01:00"}',
    b'\x01\x00{"a/b": {"~": [{"v": -7e3}]}, "t": 1795269600123}',
    b"\x02\x00" + _birth(_NAMED, 0),
    b"\x03\x00" + b"".join(_birth(_metric(b"\x10\x07\x50\x05"), n) for n in (1, 3)),
    b"\x02\x00\x18\x00\x22\x12SPBV1.0_COMPRESSED\x2a\x16" + zlib.compress(_birth(_metric(b"\x0a\x01a"), 0)),
    b"\x04\x00" + encode_rebirth(1_795_269_600_000),
)


def target(data: bytes) -> None:
    """The first byte says which topic, the second splits the rest into two messages."""
    if len(data) < 2:
        return
    inbox = Inbox(_plan(), _MOST_BYTES)
    inbox.subscribed(0.0)
    rest = data[2:]
    cut = len(rest) * (data[1] >> 1) // 127 if data[1] > 1 else len(rest)
    for now, piece in enumerate((rest[:cut], rest[cut:])):
        for topic in _topics(data[0], piece):
            inbox.put(Message(topic, piece, retained=bool(data[1] & 1)), float(now))
    _check(inbox.take(2.0))
    inbox.ended()
    _check(inbox.take(3.0))


def _topics(choice: int, piece: bytes) -> tuple[str, ...]:
    if choice < 2:
        return ("plain", "json")[choice], piece[:20].decode(errors="replace") + "/any"
    kind, _, device = _KINDS[(choice - 2) % len(_KINDS)].partition("/")
    return (f"spBv1.0/g/{kind}/n" + (f"/{device}" if device else ""),)


def _check(reading: Reading) -> None:
    schema = _plan().schema
    for part in reading.news or ():
        assert len(part.tags) == schema.tag_count
        assert any(part.tags)
        assert not part.row or len(part.row) == schema.row_bytes
        for value in part.text or ():
            check_json(value)
        for run in part.source:
            assert MIN_SOURCE_MS <= run.time_ms <= MAX_WALL_MS
        nulls = {run.first + n for run in part.quality if run.null for n in range(run.count)}
        here = {tag for tag, chosen in enumerate(part.tags) if chosen}
        assert {tag for run in part.quality for tag in range(run.first, run.first + run.count)} <= here
        if not part.row:
            assert {tag for tag in here if tag < schema.fixed_tags} <= nulls


@cache
def _plan() -> MqttPlan:
    tags: list[dict[str, Any]] = []
    for type_ in _TYPES:
        tags += [
            {"name": f"plain {type_}", "topic": "plain", "type": type_},
            {"name": f"json {type_}", "topic": "json", "type": type_, "pointer": "/v", "time": "/t"},
            {"name": f"deep {type_}", "topic": "json", "type": type_, "pointer": "/a~1b/~0/0/v",
             "time": "/t", "time_format": "iso", "optional": True},
        ]  # fmt: skip
    tags.append({"name": "array", "topic": "json", "type": "float32", "pointer": "/v", "count": 3})
    tags.append({"name": "any", "topic": "+/any", "type": "json"})
    for kind in (1, 4, 9, 10, 11, 12, 13, 16, 17, 19, 23, 32, 33):
        wanted = {1: "int8", 12: "string"}.get(kind, "json")
        tags.append({"name": f"m{kind}", "metric": f"g/n/d:m{kind:02}", "type": wanted})
    tags.append({"name": "node's own", "metric": "g/n:m09", "type": "float32"})
    group = {"name": "fuzz", "interval": "1s", "queue": 100_000, "tags": tags}
    settings = MqttConnection.model_validate(
        {"name": "fuzz", "driver": "mqtt", "transport": {"host": "h"}, "groups": [group]}
    )
    return plan(settings, settings.groups[0])
