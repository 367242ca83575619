"""The centre at a real mosquitto, asked by hand: all of docs/specs/mqtt-v1.md, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import orjson
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from central_sync import app
from central_sync.app import Centre, running
from central_sync.settings import MqttSettings, Settings
from edge_agent.wire import mqtt
from edge_agent.wire.mqtt import Channel
from tests.integration.mqtt_house import CENTRE, Broker, broker
from tests.unit.central.edge import Edge

KNOWN, OTHER, STRANGER = "dev-1", "dev-2", "stranger"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("centre"), KNOWN, OTHER, STRANGER) as made:
        yield made


@dataclass
class Said:
    channel: str
    status: int
    said: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Device:
    """Speaks for one device: a request, and the answer that repeats its correlation data."""

    name: str
    client: aiomqtt.Client
    count: int = 0

    async def ask(self, channel: Channel, payload: bytes = b"", **said: str) -> Said:
        self.count += 1
        name = b"request %d" % self.count
        await self.send(channel, payload, name, said)
        async with asyncio.timeout(10):
            async for message in self.client.messages:
                properties: Any = message.properties
                if getattr(properties, "CorrelationData", b"") == name:
                    found = dict(properties.UserProperty)
                    assert isinstance(message.payload, bytes)
                    body = mqtt.unpack(message.payload, found, 1 << 20)
                    return Said(message.topic.value.split("/")[-1], int(found["status"]), found, body)
        raise AssertionError("the connection ended")

    async def send(self, channel: Channel, payload: bytes, name: bytes, said: dict[str, str]) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if name:
            properties.CorrelationData = name
        properties.UserProperty = list(said.items())
        topic = mqtt.topic(mqtt.PREFIX, self.name, channel)
        await self.client.publish(topic, payload, qos=1, properties=properties)


@dataclass
class House:
    broker: Broker
    centre: Centre
    engineer: str

    @asynccontextmanager
    async def device(self, name: str) -> AsyncIterator[Device]:
        async with self.broker.client(name) as client:
            for channel in mqtt.DOWN:
                await client.subscribe(mqtt.topic(mqtt.PREFIX, name, channel), qos=1)
            yield Device(name, client)

    async def http(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers["Authorization"] = f"Bearer {self.engineer}"
        url = self.centre.url + path
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            assert answer.ok, await answer.text()
            return await answer.json() if "json" in answer.content_type else await answer.text()

    async def state(self, device: str) -> str:
        return str((await self.http("GET", f"/api/fleet/devices/{device}"))["state"])


@pytest.fixture
async def house(shipped: Broker, tmp_path: Path) -> AsyncIterator[House]:
    """Once it yields the centre listens at the broker."""
    data = tmp_path / "data"
    engineer, _ = await asyncio.to_thread(app.create_token, data, "engineer", None)
    settings = Settings(
        data=data,
        listen="127.0.0.1:0",
        mqtt=MqttSettings(
            url=shipped.url,
            user=CENTRE,
            password_file=shipped.password_file(CENTRE),
            ca_file=shipped.authority.ca,
        ),
    )
    async with running(settings) as centre:
        made = House(shipped, centre, engineer)
        await made.http("POST", "/api/fleet/devices/register", {"device_id": KNOWN})
        async with asyncio.timeout(10):
            while "holdfast_fleet_mqtt_connected 1.0" not in await made.http("GET", "/api/fleet/prometheus"):
                await asyncio.sleep(0.02)
        yield made


async def test_everything_that_an_agent_asks_over_http_is_answered_here(house: House) -> None:
    edge = Edge(device=KNOWN)
    async with house.device(KNOWN) as device:
        beat = await device.ask(Channel.STATUS, edge.heartbeat())
        assert (beat.channel, beat.status) == ("acks", 200)
        assert beat.json["centre"] == house.centre.centre
        upload = edge.upload(edge.make())
        first = await device.ask(Channel.DATA, upload)
        assert (first.status, first.json["acked"]) == (200, [])
        (name,) = first.json["need_schemas"]
        payload, packed = mqtt.pack(edge.schema.canonical)
        assert (await device.ask(Channel.SCHEMAS, payload, name=name, **packed)).status == 201
        assert (await device.ask(Channel.SCHEMAS, payload, name=name, **packed)).status == 204
        assert (await device.ask(Channel.DATA, upload)).json["acked"] == [[1, 1]]
        # An answer was lost: the same bytes again are stored once, and acknowledged again.
        assert (await device.ask(Channel.DATA, upload)).json["acked"] == [[1, 1]]
        assert (await device.ask(Channel.REQUESTS, what="config")).status == 404
        assert (await device.ask(Channel.REQUESTS, what="commands", wait="0")).channel == "commands"
        order = {"type": "ping", "targets": {"devices": [KNOWN]}}
        made = await house.http("POST", "/api/fleet/commands", order)
        command = made["commands"][0]["id"]
        offers = await device.ask(Channel.REQUESTS, what="commands", wait="10")
        assert [offer["id"] for offer in offers.json["commands"]] == [command]
        report = orjson.dumps({"no": 1, "state": "delivered", "time": 1})
        assert (await device.ask(Channel.RESPONSES, report, what="report", command=command)).status == 204
        file = await device.ask(
            Channel.RESPONSES, b"a log", what="artifact", command=command, name="agent.log"
        )
        assert (file.status, file.json["size_bytes"]) == (201, 5)
    stats = (await house.http("GET", f"/api/fleet/data/stats?device={KNOWN}"))["devices"][0]
    assert (stats["batches"], stats["duplicates"], stats["gaps"]) == (1, 0, [])


async def test_a_config_comes_once_and_its_tag_says_that_it_is_the_same(house: House) -> None:
    body: dict[str, Any] = {"connections": []}
    await house.http("PUT", f"/api/fleet/edge/{KNOWN}/config", body, **{"If-None-Match": "*"})
    async with house.device(KNOWN) as device:
        found = await device.ask(Channel.REQUESTS, what="config")
        assert (found.status, found.json["sections"]) == (200, body)
        same = await device.ask(Channel.REQUESTS, what="config", etag=found.said["etag"])
        assert (same.status, same.body) == (304, b"")
        small = await device.ask(Channel.REQUESTS, what="config", max="10")
        assert (small.status, small.json["code"]) == (413, "answer_too_large")


async def test_scripts_come_once_too_and_their_tag_says_that_they_are_the_same(house: House) -> None:
    script = {"name": "oil", "hook_type": "transform", "source": "def transform(frame):\n    pass\n"}
    made = await house.http("POST", "/api/fleet/scripts", script)
    async with house.device(KNOWN) as device:
        assert (await device.ask(Channel.REQUESTS, what="scripts")).status == 404
        await house.http("PUT", f"/api/fleet/scripts/{made['id']}/assignment", {"devices": [KNOWN]})
        found = await device.ask(Channel.REQUESTS, what="scripts")
        assert (found.status, [each["name"] for each in found.json["scripts"]]) == (200, ["oil"])
        same = await device.ask(Channel.REQUESTS, what="scripts", etag=found.said["etag"])
        assert (same.status, same.body) == (304, b"")


async def test_the_broker_says_who_it_is_and_the_centre_whether_it_may(house: House) -> None:
    """A device that nobody registered makes none by coming, and one out of service stays out."""
    async with house.device(STRANGER) as stranger:
        found = await stranger.ask(Channel.STATUS, Edge(device=STRANGER).heartbeat())
        assert (found.status, found.json["code"]) == (403, "unknown_device")
        found = await stranger.ask(Channel.DATA, Edge(device=STRANGER).upload(Edge(device=STRANGER).make()))
        assert (found.status, found.json["code"]) == (403, "unknown_device")
    assert [each["device_id"] for each in (await house.http("GET", "/api/fleet/devices"))["items"]] == [KNOWN]
    async with house.device(KNOWN) as device:
        assert (await device.ask(Channel.STATUS, Edge(device=KNOWN).heartbeat())).status == 200
        await house.http("DELETE", f"/api/fleet/devices/{KNOWN}")
        found = await device.ask(Channel.STATUS, Edge(device=KNOWN).heartbeat())
        assert (found.status, found.json["code"]) == (403, "decommissioned")


REPORT = {"what": "report", "command": "x"}
WRONG: list[tuple[str, Channel, bytes, dict[str, str], int, str]] = [
    ("no upload", Channel.DATA, b"garbage", {}, 400, "bad_upload"),
    ("no heartbeat", Channel.STATUS, b"{}", {}, 400, "bad_heartbeat"),
    ("no schema", Channel.SCHEMAS, b"{}", {"name": "x"}, 400, "bad_schema"),
    ("asks for nothing", Channel.REQUESTS, b"", {}, 400, "bad_message"),
    ("another topic's", Channel.REQUESTS, b"", {"what": "report"}, 400, "bad_message"),
    ("a body where none is", Channel.REQUESTS, b"x", {"what": "config"}, 413, "too_large"),
    ("too long a wait", Channel.REQUESTS, b"", {"what": "commands", "wait": "1e9"}, 400, "bad_message"),
    ("no report", Channel.RESPONSES, b"{}", REPORT, 400, "bad_body"),
    ("no command of its own", Channel.RESPONSES, b'{"no":1,"state":"delivered","time":1}', REPORT, 404,
     "unknown_command"),
    ("another encoding", Channel.STATUS, b"x", {"encoding": "gzip"}, 400, "bad_message"),
    ("a bomb", Channel.STATUS, mqtt.pack(bytes(50_000_000))[0], {"encoding": "deflate"}, 413, "too_large"),
    ("more than an upload has", Channel.DATA, bytes((1 << 20) + 65_537), {}, 413, "too_large"),
]  # fmt: skip


async def test_what_is_wrong_is_answered_as_over_http(house: House) -> None:
    async with house.device(KNOWN) as device:
        for name, channel, payload, said, status, code in WRONG:
            found = await device.ask(channel, payload, **said)
            assert (name, found.status, found.json["code"]) == (name, status, code)


async def test_what_is_no_request_is_dropped_and_counted(house: House) -> None:
    async with house.device(KNOWN) as device:
        await device.send(Channel.STATUS, b"{}", b"", {})
        await device.send(Channel.STATUS, b"{}", b"x" * 65, {})
        assert (await device.ask(Channel.REQUESTS, what="config")).status == 404
    metrics = await house.http("GET", "/api/fleet/prometheus")
    assert 'holdfast_fleet_mqtt_dropped_total{reason="malformed"} 2.0' in metrics
    assert 'holdfast_fleet_mqtt_requests_total{channel="requests",status="404"} 1.0' in metrics


async def test_a_last_will_is_shown_at_once(house: House) -> None:
    async with house.device(KNOWN) as device:
        await device.ask(Channel.STATUS, Edge(device=KNOWN).heartbeat())
        assert await house.state(KNOWN) in ("online", "degraded")
        await device.client.publish(mqtt.topic(mqtt.PREFIX, KNOWN, Channel.STATUS), mqtt.OFFLINE, qos=1)
        async with asyncio.timeout(5):
            while await house.state(KNOWN) != "offline":
                await asyncio.sleep(0.05)
        await device.ask(Channel.STATUS, Edge(device=KNOWN).heartbeat())
        assert await house.state(KNOWN) in ("online", "degraded")


async def test_one_that_floods_is_dropped_and_another_is_answered(house: House) -> None:
    await house.http("POST", "/api/fleet/devices/register", {"device_id": OTHER})
    async with house.device(KNOWN) as loud, house.device(OTHER) as calm:
        topic = mqtt.topic(mqtt.PREFIX, KNOWN, Channel.REQUESTS)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = b"flood"
        properties.UserProperty = [("what", "config")]
        async with asyncio.timeout(20):
            while 'mqtt_dropped_total{reason="flood"}' not in await house.http(
                "GET", "/api/fleet/prometheus"
            ):
                burst = (loud.client.publish(topic, b"", qos=0, properties=properties) for _ in range(300))
                await asyncio.gather(*burst)
                assert (await calm.ask(Channel.REQUESTS, what="config")).status == 404
