"""The OPC UA driver against a server from npm: node-opcua with its conformance address space.

The server is killed and restarted while items change; each change carries the number of the server's start
and its own, so that every single one can be told. `make long-opcua`: 10,000 items, ten kills. The tests share
one start of the server: building its address space takes seconds.
"""

import asyncio
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from edge_agent.contracts.driver import Driver, Plan, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.registry import lookup
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import Quality

LONG = os.environ.get("HOLDFAST_OPCUA_LONG") == "1"
# Building the conformance address space takes seconds, and a minute where the machine is busy.
pytestmark = pytest.mark.timeout(1800 if LONG else 300)
ITEMS, KILLS, PERIOD_MS = (10_000, 10, 2_000) if LONG else (200, 1, 100)
SERVER = Path(__file__).parent / "servers" / "node_opcua_server.mjs"
SPACE = "nsu=urn://node-opcua-simulator;s="
START_SECONDS = 120.0
# As the server's documentation has them: the scalars that its conformance space holds from the start.
SCALARS: dict[str, JsonValue] = {
    "Boolean": False, "SByte": 0, "Byte": 0, "Int16": 0, "UInt16": 0, "Int32": 0, "UInt32": 0, "Int64": 0,
    "UInt64": 0, "Float": 0.0, "Double": 0.0, "String": "OPCUA", "ByteString": "T1BDVUE=",
    "XmlElement": "<string1>OPCUA</string1>",
    "Guid": "00000000-0000-0000-0000-000000000000", "NodeId": "ns=3;g=00000000-0000-0000-0000-000000000023",
    "QualifiedName": "", "LocalizedText": {"locale": "", "text": ""},
    "Duration": 0.0, "Number": 0, "Integer": 0, "UInteger": 0,
    "DataValue": {"value": 0.0, "status": 0, "source_time": None}, "DiagnosticInfo": {},
}  # fmt: skip


def _free_port() -> int:
    with closing(socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class NodeServer:
    """Starts of one server, all at one port and with one certificate. Every call waits for the process."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        self.runs = 0
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, space: str) -> None:
        self.runs += 1
        arguments = [str(SERVER), str(self.port), str(self._directory), str(self.runs)]
        self._process = subprocess.Popen(
            ["node", *arguments, str(ITEMS), str(PERIOD_MS), space],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline()) == {"port": self.port}

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def restart(self) -> None:
        self.kill()
        self.start("counters")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    made = NodeServer(tmp_path_factory.mktemp("node-opcua"))
    try:
        made.start("conformance")
        yield made
    finally:
        made.kill()


class Client:
    """The driver with one group, read and healed as the pipeline does it."""

    def __init__(self, port: int, directory: Path, group: dict[str, Any], *, secured: bool) -> None:
        spec = lookup("opcua")
        security: Any = {"policy": "basic256sha256", "mode": "sign_and_encrypt", "trust": "none"}
        transport: dict[str, Any] = {"url": f"opc.tcp://127.0.0.1:{port}", "timeout": "5s"}
        if secured:
            transport["security"] = security
        made: Any = spec.settings.model_validate(
            {"name": "npm", "transport": transport, "groups": [{"name": "g", "interval": "100ms", **group}]}
        )
        kept = made.model_copy(update={"transport": made.transport.kept_in(directory)})
        self.driver: Driver = spec.factory(kept)
        self.plan: Plan = spec.plan(kept, kept.groups[0])
        self.connects = 0

    async def read(self) -> Reading | None:
        """None where there is no link, after an attempt to get one."""
        try:
            return await self.driver.read(self.plan)
        except NotConnected:
            try:
                self.connects += 1
                await self.driver.connect()
            except NotConnected:
                await asyncio.sleep(0.1)
            return None


class Judge:
    """Each tag's changes: in order, each once, without a hole within one start of the server."""

    def __init__(self) -> None:
        self.newest: dict[int, float] = {}
        self.first: dict[tuple[int, int], float] = {}
        self.lost: list[str] = []
        self.changes = 0

    def take(self, reading: Reading) -> None:
        self.lost += reading.lost
        for part in reading.news or ():
            assert not any(run.null for run in part.quality if run.quality is not Quality.GOOD)
            for tag, value in enumerate(struct.unpack(f"<{len(part.tags)}d", part.row)):
                if part.tags[tag]:
                    self._change(tag, value)

    def _change(self, tag: int, value: float) -> None:
        self.changes += 1
        before = self.newest.get(tag)
        self.newest[tag] = value
        run = int(value // 1_000_000)
        if before is None or run != int(before // 1_000_000):
            assert before is None or value > before, f"tag {tag}: {value} after {before}"
            self.first[tag, run] = value
            return
        assert value == before + 1, f"tag {tag}: {value} after {before}"

    def reached(self, run: int, changes: int, tags: int) -> bool:
        """Whether each tag has had so many changes of this start."""
        return all(
            self.newest.get(tag, 0) >= self.first.get((tag, run), float("inf")) + changes
            for tag in range(tags)
        )


async def test_every_built_in_type_polled_and_subscribed_alike(server: NodeServer, tmp_path: Path) -> None:
    tags = [{"name": name, "address": f"{SPACE}Static_Scalar_{name}"} for name in SCALARS]
    tags += [{"name": f"{name}s", "address": f"{SPACE}Static_Array_{name}"} for name in SCALARS]
    tags += [
        {"name": "matrix", "address": f"{SPACE}Static_MultiDimensional_Array_Int32"},
        {"name": "image", "address": f"{SPACE}Static_Scalar_ImagePNG"},
        {"name": "time", "address": f"{SPACE}Static_Scalar_DateTime"},
        {"name": "status", "address": "i=2256"},
        {"name": "part", "address": f"{SPACE}Static_Array_Int32", "index_range": "2:4"},
        {"name": "label", "address": f"{SPACE}Static_Array_Int32", "attribute": "display_name"},
        {"name": "absent", "address": f"{SPACE}Nowhere"},
    ]
    found: list[dict[str, JsonValue]] = []
    for mode in ("poll", "subscribe"):
        client = Client(server.port, tmp_path, {"mode": mode, "tags": tags}, secured=True)
        await client.driver.connect()
        reading: Any = await client.driver.read(client.plan)
        part = reading if mode == "poll" else reading.news[0]
        names = [tag.name for tag in client.plan.schema.tags]
        found.append(dict(zip(names, part.text, strict=True)))
        assert list(reading.errors) == [f"{SPACE}Nowhere"]
        assert [(run.first, run.quality) for run in part.quality if run.quality is not Quality.GOOD] == [
            (names.index("absent"), Quality.BAD_CONFIG)
        ]
        await client.driver.close()
    for values in found:
        assert {name: values[name] for name in SCALARS} == SCALARS
        assert values["Int64s"] == [0] * 10
        assert values["Strings"] == ["OPCUA"] * 10
        assert values["matrix"] == [[0, 0, 0], [0, 0, 0]]
        assert str(values["image"]).startswith("iVBORw0KGgo")
        assert values["part"] == [0, 0, 0]
        assert values["absent"] is None
        assert values["label"] == {"locale": "", "text": "Int32"}
        status: Any = values["status"]
        assert status["State"] == 0
        assert status["BuildInfo"]["ManufacturerName"].startswith("NodeOPCUA")


def _counters(items: int) -> list[dict[str, str]]:
    return [
        {"name": f"c{place}", "address": f"nsu=urn:holdfast:counters;s=c{place}", "type": "float64"}
        for place in range(items)
    ]


async def test_nothing_is_lost_or_doubled_when_only_the_link_breaks(
    server: NodeServer, tmp_path: Path
) -> None:
    """The server goes on with session and subscription; what it sent in vain is asked for again."""
    items = 50
    group = {"tags": _counters(items), "sampling_interval": "0s", "queue_size": 100}
    seen: dict[int, list[tuple[float, int]]] = {place: [] for place in range(items)}
    async with _Relay(server.port) as relay:
        client = Client(relay.port, tmp_path, group, secured=False)
        for turn in range(1, 5):
            async with asyncio.timeout(START_SECONDS):
                while min(len(set(each)) for each in seen.values()) < 5 * turn:
                    if (reading := await client.read()) is not None:
                        assert reading.lost == ()
                        _collect(reading, seen)
                    await asyncio.sleep(0.02)
            relay.cut()
        await client.driver.close()
    for changes in seen.values():
        # A change that is told again after an outage has the source time of the first time.
        numbers = [value for value, _ in dict.fromkeys(changes)]
        assert numbers == [numbers[0] + place for place in range(len(numbers))]


async def test_every_change_comes_once_or_is_told_as_lost_while_the_server_is_killed(
    server: NodeServer, tmp_path: Path
) -> None:
    group = {"tags": _counters(ITEMS), "sampling_interval": "0s", "queue_size": 100}
    judge = Judge()
    client = Client(server.port, tmp_path, group, secured=True)
    first_run = server.runs
    for kill in range(KILLS + 1):
        async with asyncio.timeout(START_SECONDS + 20 * PERIOD_MS / 1000):
            while not judge.reached(first_run + kill, 4, ITEMS):
                if (reading := await client.read()) is not None:
                    judge.take(reading)
                await asyncio.sleep(0.05)
        assert len(judge.lost) == kill, judge.lost
        assert all("changes from 20" in text and "Z to 20" in text for text in judge.lost)
        if kill < KILLS:
            await asyncio.to_thread(server.restart)
    await client.driver.close()
    assert judge.changes >= 4 * ITEMS * (KILLS + 1)


def _collect(reading: Reading, seen: dict[int, list[tuple[float, int]]]) -> None:
    for part in reading.news or ():
        times = {run.first + n: run.time_ms for run in part.source for n in range(run.count)}
        for tag, value in enumerate(struct.unpack(f"<{len(part.tags)}d", part.row)):
            if part.tags[tag]:
                seen[tag].append((value, times[tag]))


class _Relay:
    """A port before the server's, whose connections can be cut while answers are on their way."""

    def __init__(self, behind: int) -> None:
        self.port = 0
        self._behind = behind
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "_Relay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer), return_exceptions=True)
        self._writers -= {writer, far_writer}
        for each in (writer, far_writer):
            each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()
