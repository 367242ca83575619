"""Messages of the uplink over MQTT, as a centre and an agent get them: topic, user properties, payload.

The first byte says which end reads; lines are the topic and the properties, `NAME=VALUE`, up to an empty one.
"""

from collections.abc import Sequence
from typing import Final

from central_sync.mqtt.answering import Request
from edge_agent.uplink.errors import Unusable
from edge_agent.uplink.mqtt_requests import reply_of
from edge_agent.wire import mqtt
from edge_agent.wire.errors import WireError

_MOST: Final = 100_000


def _seed(end: int, topic: str, said: dict[str, str], payload: bytes) -> bytes:
    lines = [topic, *(f"{name}={text}" for name, text in said.items())]
    return bytes((end,)) + "\n".join(lines).encode() + b"\n\n" + payload


SEEDS: Final[Sequence[bytes]] = (
    _seed(0, "holdfast/devices/press-01/data", {"max": "262144"}, b"HFB1"),
    _seed(0, "holdfast/devices/a/status", {"encoding": "deflate"}, mqtt.pack(b"{}" * 1_000)[0]),
    _seed(0, "holdfast/devices/a/requests", {"what": "commands", "wait": "25"}, b""),
    _seed(0, "holdfast/devices/a/responses", {"what": "report", "command": "cmd-1"}, b"{}"),
    _seed(1, "holdfast/devices/a/acks", {"status": "200", "etag": "e"}, b"{}"),
    _seed(1, "", {"status": "503", "retry-after": "2", "encoding": "deflate"}, mqtt.pack(b"x" * 2_000)[0]),
)


def target(data: bytes) -> None:
    head, _, payload = data[1:].partition(b"\n\n")
    topic, *lines = head.decode("utf-8", "replace").split("\n")
    pairs = [(name, text) for name, _, text in (line.partition("=") for line in lines)]
    address = mqtt.parse_topic(mqtt.PREFIX, topic)
    if address is not None:
        assert mqtt.topic(mqtt.PREFIX, address.device, address.channel) == topic
    if data[:1] == b"\1":
        try:
            reply_of(payload, pairs)
        except Unusable:
            return
        return
    try:
        said = mqtt.properties(pairs)
        body = mqtt.unpack(payload, said, _MOST)
    except WireError:
        return
    assert len(body) <= _MOST
    if address is not None:
        request = Request(address.device, address.channel, b"x", said, payload)
        assert request.answers_to in mqtt.DOWN
        assert request.most_bytes >= 0
        assert request.is_held in (True, False)
