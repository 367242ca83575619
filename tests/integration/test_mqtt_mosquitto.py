"""The MQTT driver against mosquitto: TLS, passwords, both versions, restarts, sessions that go on."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edge_agent.contracts.driver import Part, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.mqtt import SPEC
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.wire.quality import Quality
from tests.integration.mqtt_broker import PASSWORD, USER, WITHIN_SECONDS, Mosquitto


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    await made.prepare()
    await made.start()
    yield made
    await made.stop()


class Reader:
    """The driver with one group, drained as the pipeline does it."""

    def __init__(self, broker: Mosquitto, tags: list[dict[str, Any]], **more: Any) -> None:
        transport = {"host": "127.0.0.1", "port": broker.port, "timeout": "3s", **more.pop("transport", {})}
        group = {"name": "g", "interval": "1s", "tags": tags, **more.pop("group", {})}
        self.settings = MqttConnection.model_validate(
            {"name": "b", "driver": "mqtt", "transport": transport, "groups": [group], **more}
        )
        self.driver: Any = SPEC.factory(self.settings)
        self.plan: Any = SPEC.plan(self.settings, self.settings.groups[0])
        self.names = [tag.name for tag in self.plan.schema.tags]
        self.came: list[tuple[str, Any]] = []
        self.marks: dict[str, Quality] = {}
        self.times: dict[str, int] = {}
        self.lost: list[str] = []
        self.errors: dict[str, str] = {}

    async def __aenter__(self) -> "Reader":
        await self.driver.connect()
        await self.drain()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.close()

    async def drain(self) -> Reading:
        reading: Reading = await self.driver.read(self.plan)
        assert reading.news is not None
        self.lost += reading.lost
        self.errors = reading.errors or {}
        for part in reading.news:
            self._note(part)
        self.driver.taken(self.plan)  # all of it is in frames
        return reading

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while not condition():
                await asyncio.sleep(0.02)
                await self.drain()

    def of(self, name: str) -> list[Any]:
        return [value for tag, value in self.came if tag == name]

    def _note(self, part: Part) -> None:
        schema = self.plan.schema
        marks = {run.first + n: run for run in part.quality for n in range(run.count)}
        for run in part.source:
            for n in range(run.count):
                self.times[self.names[run.first + n]] = run.time_ms
        for index, name in enumerate(self.names):
            if not part.tags[index]:
                continue
            mark = marks.get(index)
            self.marks[name] = Quality.GOOD if mark is None else mark.quality
            if mark is not None and mark.null:
                self.came.append((name, None))
            elif index >= schema.fixed_tags:
                self.came.append((name, (part.text or ())[index - schema.fixed_tags]))
            else:
                self.came.append((name, _element(schema, part.row, index)))


def _element(schema: Any, row: bytes, index: int) -> Any:
    from edge_agent.wire.values import read_value

    return read_value(schema.tags[index], row[schema.edges[index] : schema.edges[index + 1]])


TEMP: dict[str, Any] = {"name": "temp", "topic": "press/1/temp", "type": "float64"}


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_values_of_every_form_come_in_order(broker: Mosquitto, version: str) -> None:
    tags: list[dict[str, Any]] = [
        TEMP,
        {"name": "on", "topic": "press/1/on", "type": "bool"},
        {"name": "text", "topic": "press/1/text", "type": "string"},
        {"name": "deep", "topic": "press/1/json", "pointer": "/a~1b/0/v", "time": "/t", "type": "int16"},
        {"name": "all", "topic": "press/+/state", "type": "json"},
        {"name": "{2}_speed", "topic": "line/+/speed", "levels": {2: ["a", "b"]}, "type": "uint32"},
    ]
    async with Reader(broker, tags, transport={"version": version}) as reader:
        await broker.publish(
            ("press/1/temp", "21.5"), ("press/1/temp", "22"), ("press/1/on", "ON"), ("press/1/text", "läuft"),
            ("press/1/json", {"a/b": [{"v": -7}], "t": 1_795_269_600_123}), ("press/1/json", b"{nonsense"),
            ("press/2/state", {"run": True}), ("line/a/speed", "10"), ("line/b/speed", "20"),
            ("line/c/speed", "30"), ("press/1/temp", "23"),
        )  # fmt: skip
        await reader.until(lambda: 23.0 in reader.of("temp"))
        assert reader.of("temp") == [21.5, 22.0, 23.0]
        assert reader.of("on") == [True]
        assert reader.of("text") == ["läuft"]
        assert reader.of("deep") == [-7, None]
        assert reader.marks["deep"] is Quality.BAD_VALUE
        assert "no JSON" in reader.errors["deep"]
        assert reader.times["deep"] == 1_795_269_600_123
        assert reader.of("all") == [{"topic": "press/2/state", "value": {"run": True}}]
        assert (reader.of("a_speed"), reader.of("b_speed")) == ([10], [20])
        assert reader.lost == ["messages of the topic line/c/speed: no tag takes it"]


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_retained_value_is_uncertain_and_a_cleared_topic_has_none(
    broker: Mosquitto, version: str
) -> None:
    await broker.publish(("press/1/temp", "20"), retain=True)
    async with Reader(broker, [TEMP], transport={"version": version}) as reader:
        await reader.until(lambda: bool(reader.came))
        assert (reader.of("temp"), reader.marks["temp"]) == ([20.0], Quality.UNCERTAIN)
        await broker.publish(("press/1/temp", "21"), retain=True)
        await reader.until(lambda: len(reader.came) == 2)
        assert reader.marks["temp"] is Quality.GOOD
        await broker.publish(("press/1/temp", ""), retain=True)
        await reader.until(lambda: len(reader.came) == 3)
        assert (reader.of("temp")[-1], reader.marks["temp"]) == (None, Quality.BAD_VALUE)


async def test_tls_with_a_password(broker: Mosquitto) -> None:
    tls = {"host": "localhost", "port": broker.tls_port, "tls": {"ca_file": str(broker.authority.ca)}}
    who = {"username": USER, "password": PASSWORD}
    async with Reader(broker, [TEMP], transport={**tls, **who}) as reader:
        await broker.publish(("press/1/temp", "1"))
        await reader.until(lambda: bool(reader.came))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_who_is_not_let_in_is_told_why(broker: Mosquitto, version: str) -> None:
    tls = {"host": "localhost", "port": broker.tls_port, "tls": {"ca_file": str(broker.authority.ca)}}
    wrong = {"username": USER, "password": "wrong", "version": version}
    with pytest.raises(NotConnected, match=r"localhost:\d+: the broker says: .*[Nn]ot authori[sz]ed"):
        await Reader(broker, [TEMP], transport={**tls, **wrong}).driver.connect()


async def test_a_broker_that_is_not_trusted_is_refused(broker: Mosquitto) -> None:
    tls = {"host": "localhost", "port": broker.tls_port, "tls": {}}
    with pytest.raises(NotConnected, match="certificate is not trusted"):
        await Reader(broker, [TEMP], transport=tls).driver.connect()
    plain = {"port": broker.tls_port}
    with pytest.raises(NotConnected, match=str(broker.tls_port)):
        await Reader(broker, [TEMP], transport=plain).driver.connect()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_what_came_while_we_were_away_comes_once_over_a_restart_of_the_broker(
    broker: Mosquitto, version: str
) -> None:
    session = {"client_id": "press-shop", "session": "persistent", "version": version}
    first = Reader(broker, [TEMP], transport=session)
    async with first:
        await broker.publish(("press/1/temp", "0"))
        await first.until(lambda: first.of("temp") == [0.0])
    await broker.publish(*(("press/1/temp", str(n)) for n in range(1, 51)))
    await broker.stop()
    await broker.start()
    await broker.publish(*(("press/1/temp", str(n)) for n in range(51, 81)))
    second = Reader(broker, [TEMP], transport=session)  # as after a restart of the agent: nothing known
    async with second:
        await broker.publish(("press/1/temp", "81"))
        await second.until(lambda: 81.0 in second.of("temp"))
    assert second.of("temp") == [float(n) for n in range(1, 82)]
    assert second.lost == []


async def test_a_restart_of_the_broker_is_seen_and_survived(broker: Mosquitto) -> None:
    async with Reader(broker, [TEMP]) as reader:
        await broker.publish(("press/1/temp", "1"))
        await reader.until(lambda: bool(reader.came))
        await broker.stop()
        with pytest.raises(NotConnected):
            await reader.until(lambda: False)
        with pytest.raises(NotConnected, match="refused"):
            await reader.driver.connect()
        await broker.start()
        await reader.driver.connect()
        await reader.drain()
        await broker.publish(("press/1/temp", "2"))
        await reader.until(lambda: 2.0 in reader.of("temp"))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_burst_is_there_whole_or_told(broker: Mosquitto, version: str) -> None:
    """aiomqtt's own queue acknowledges and drops what does not fit."""
    async with Reader(broker, [TEMP], transport={"version": version}, group={"queue": 200}) as reader:
        await broker.publish(*(("press/1/temp", str(n)) for n in range(500)))
        async with asyncio.timeout(WITHIN_SECONDS):
            while reader.driver.inboxes[reader.plan].messages < 500:
                await asyncio.sleep(0.02)
        await reader.drain()
        told = sum(int(text.split()[0]) for text in reader.lost)
        assert len(reader.came) + told == 500
        assert reader.of("temp") == [float(n) for n in range(told, 500)]
        assert 100 < len(reader.came) <= 200


# --- Sparkplug B ---------------------------------------------------------------------------------


class Edge:
    """An edge node of Eclipse Tahu."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, broker: Mosquitto) -> "Edge":
        script = str(Path(__file__).parent / "servers" / "sparkplug_edge.js")
        node = shutil.which("node")
        assert node is not None
        made = cls(
            await asyncio.create_subprocess_exec(
                node, script, f"tcp://127.0.0.1:{broker.port}", "plant", "edge1",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
        )  # fmt: skip
        await made.expect("birth")
        return made

    async def expect(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN_SECONDS):
            while True:
                found: dict[str, Any] = json.loads(await self._process.stdout.readline())
                self.events.append(found)
                if found["event"] == event:
                    return found

    async def order(self, what: str, metrics: Iterable[dict[str, Any]] = (), **options: Any) -> None:
        assert self._process.stdin is not None
        payload = {"timestamp": 1_795_269_600_000, "metrics": list(metrics)}
        line = json.dumps({"do": what, "device": "press1", "payload": payload, "options": options})
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        transport: Any = self._process._transport  # type: ignore[attr-defined]
        transport.close()


@pytest.fixture
async def edge(broker: Mosquitto) -> AsyncIterator[Edge]:
    made = await Edge.start(broker)
    yield made
    await made.end()


# What the device says at its birth, and as which type of ours a tag takes it.
METRICS: list[tuple[dict[str, Any], str, Any]] = [
    ({"name": "i8", "type": "Int8", "value": -5}, "int8", -5),
    ({"name": "i16", "type": "Int16", "value": -3000}, "int16", -3000),
    ({"name": "i32", "type": "Int32", "value": -2_000_000_000}, "int32", -2_000_000_000),
    ({"name": "i64", "type": "Int64", "value": 9_007_199_254_740_991}, "int64", 9_007_199_254_740_991),
    ({"name": "u8", "type": "UInt8", "value": 250}, "uint8", 250),
    ({"name": "u16", "type": "UInt16", "value": 65_000}, "uint16", 65_000),
    ({"name": "u32", "type": "UInt32", "value": 4_000_000_000}, "uint32", 4_000_000_000),
    ({"name": "u64", "type": "UInt64", "value": 9_007_199_254_740_991}, "uint64", 9_007_199_254_740_991),
    ({"name": "float", "type": "Float", "value": 1.5}, "float32", 1.5),
    ({"name": "double", "type": "Double", "value": -2.25e300}, "float64", -2.25e300),
    ({"name": "bool", "type": "Boolean", "value": True}, "bool", True),
    ({"name": "text", "type": "String", "value": "Pumpe läuft: 4/5"}, "string", "Pumpe läuft: 4/5"),
    ({"name": "uuid", "type": "UUID", "value": "0-1"}, "string", "0-1"),
    ({"name": "at", "type": "DateTime", "value": 1_795_269_600_123}, "int64", 1_795_269_600_123),
    ({"name": "bytes", "type": "Bytes", "value": {"base64": "AAEC/w=="}}, "string", "AAEC/w=="),
    (
        {
            "name": "table", "type": "DataSet",
            "value": {
                "numOfColumns": 2, "types": ["Double", "String"], "columns": ["x", "name"],
                "rows": [[1.5, "a"], [2.5, "b"]],
            },
        },
        "json", {"columns": ["x", "name"], "rows": [[1.5, "a"], [2.5, "b"]]},
    ),
    (
        {
            "name": "motor", "type": "Template",
            "value": {
                "isDefinition": False, "templateRef": "Motor", "version": "1",
                "metrics": [{"name": "rpm", "type": "Int32", "value": 1450}],
                "parameters": [{"name": "poles", "type": "Int32", "value": 4}],
            },
        },
        "json",
        {"version": "1", "template": "Motor", "metrics": {"rpm": 1450}, "parameters": {"poles": 4}},
    ),
]  # fmt: skip


async def test_sparkplug_values_of_every_type_are_those_of_tahu(broker: Mosquitto, edge: Edge) -> None:
    tags = [
        {"name": metric["name"], "metric": f"plant/edge1/press1:{metric['name']}", "type": type_}
        for metric, type_, _ in METRICS
    ]
    async with Reader(broker, tags) as reader:
        await edge.order("nbirth")
        await edge.order("dbirth", [metric for metric, _, _ in METRICS])
        await reader.until(lambda: reader.marks.get("text") is Quality.GOOD)
        for metric, _, wanted in METRICS:
            assert reader.of(metric["name"])[-1] == wanted, metric["name"]
            assert reader.times[metric["name"]] == 1_795_269_600_000
        assert not reader.errors


async def test_sparkplug_births_data_and_deaths(broker: Mosquitto, edge: Edge) -> None:
    tags = [
        {"name": "rpm", "metric": "plant/edge1/press1:Motor/rpm", "type": "int32"},
        {"name": "load", "metric": "plant/edge1:load", "type": "float32"},
        {"name": "none", "metric": "plant/edge1:none", "type": "float32"},
    ]
    aliased = {"name": "Motor/rpm", "alias": 7, "type": "Int32", "value": 1000}
    async with Reader(broker, tags, rebirth=True) as reader:
        asked = await edge.expect("ncmd")  # it was born before we came
        assert asked["metrics"] == [["Node Control/Rebirth", True]]
        await edge.order("nbirth", [{"name": "load", "type": "Float", "value": 0.5}])
        await edge.order("dbirth", [aliased])
        await reader.until(lambda: reader.of("rpm")[-1:] == [1000])
        assert reader.marks == {"rpm": Quality.GOOD, "load": Quality.GOOD, "none": Quality.BAD_CONFIG}
        await edge.order("ddata", [{**aliased, "value": 1100, "timestamp": 1_795_269_601_000}])
        past = {**aliased, "value": 900, "timestamp": 1_795_269_500_000, "isHistorical": True}
        await edge.order("ddata", [past])
        await reader.until(lambda: 900 in reader.of("rpm"))
        assert reader.of("rpm") == [
            None,
            1000,
            1100,
            900,
            1100,
        ]  # the birth of its node ended what was before
        for n, algorithm in enumerate(("GZIP", "DEFLATE")):
            later = {**aliased, "value": 2000 + n, "timestamp": 1_795_269_602_000 + n}
            await edge.order("ddata", [later], compress=True, algorithm=algorithm)
        await reader.until(lambda: 2001 in reader.of("rpm"))
        assert reader.of("rpm")[5:] == [2000, 2001]
        await edge.order("ddeath")
        await reader.until(lambda: reader.marks["rpm"] is Quality.BAD_COMM)
        assert reader.marks["load"] is Quality.GOOD
        await edge.order("vanish")
        await reader.until(lambda: reader.marks["load"] is Quality.BAD_COMM)


async def test_nothing_is_published_where_rebirth_is_not_allowed(broker: Mosquitto) -> None:
    tags = [{"name": "load", "metric": "plant/edge1:load"}]
    watcher = aiomqtt.Client("127.0.0.1", broker.port)
    async with watcher, Reader(broker, [*tags, TEMP]) as reader:
        await watcher.subscribe("#")
        data = bytes.fromhex("1805120410075020")  # seq 5, a metric by its alias alone
        await broker.publish(("spBv1.0/plant/NDATA/edge1", data), ("press/1/temp", "1"))
        await reader.until(lambda: bool(reader.came))
        assert "no birth" in str(reader.errors)
        await broker.publish(("end", "1"))
        seen = []
        async for message in watcher.messages:
            seen.append(str(message.topic))
            if seen[-1] == "end":
                break
        assert seen == ["spBv1.0/plant/NDATA/edge1", "press/1/temp", "end"]
