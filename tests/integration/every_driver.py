"""One agent with every driver at once, and a peer of its own process for each: what the plant is made of.

`Plant` starts it, strikes one peer at a time and keeps the times; `frames_of` reads what the agent stored.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from edge_agent.buffer.survey import Schemas, batches, connect
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus, LatestValue
from edge_agent.web.client import LocalClient
from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import ValueType
from tests.crash.rig import free_port
from tests.integration.mqtt_house import program

SERVERS = Path(__file__).parent / "servers"
MQTT = "mqtt"
HOST = "host"
# Messages of the publisher in each interval of the agent.
MESSAGES = 4
_TIMEOUT = "300ms"
# Each look at the agent costs its loop a millisecond or two, which is judged too.
_LOOK_SECONDS = 0.2


class Program:
    """A process of its own session that listens on a port."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self._command = command
        self._port = port
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        if self._port:
            await until(self._listens, 40, f"{self._command[:4]} listens; its log is {self._log}")

    def check(self) -> None:
        """Fails where it has ended by itself."""
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text(errors="replace")[-2000:]

    async def _listens(self) -> bool:
        self.check()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        assert self._process is not None
        async with asyncio.timeout(seconds):
            return await self._process.wait()


async def until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_LOOK_SECONDS)


class Seen(NamedTuple):
    """A stored frame. value: of its first tag, where that is an int64 and good."""

    n: int
    mono_ns: int
    good: bool
    value: int | None


@dataclass(frozen=True)
class Strike:
    """What befell one peer. begin, end: monotonic, from before the fault until it was read again.

    starting: when its process was started anew, which takes a second of the machine that is the test's own.
    """

    peer: str
    fault: str
    begin_ns: int
    end_ns: int
    healed_seconds: float
    starting_ns: tuple[int, int] = (0, 0)


class Plant:
    """`async with` starts all of it, and ends it however a test ends."""

    def __init__(self, directory: Path, interval_ms: int) -> None:
        self.directory = directory
        self.interval_ms = interval_ms
        self.strikes: list[Strike] = []
        self._runtime = Path(tempfile.mkdtemp(prefix="holdfast-all-", dir="/dev/shm"))
        self.database = directory / "buffer.db"
        self._ports = {name: free_port() for name in ("modbus", "opcua", "s7", "xgt", "http", MQTT)}
        self.peers = {name: self._peer(name, port) for name, port in self._ports.items()}
        counter = [
            str(SERVERS / "mqtt_counter.py"),
            str(self._ports[MQTT]),
            str(interval_ms / 1000 / MESSAGES),
        ]
        self._publisher = Program([sys.executable, *counter], 0, directory / "publisher.log")
        config = directory / "edge-agent.yaml"
        config.write_text(yaml.safe_dump(self._document()))
        run = [sys.executable, "-m", "edge_agent", "run", "-c", str(config)]
        self.agent = Program(run, 0, directory / "agent.log")

    def _peer(self, name: str, port: int) -> Program:
        match name:
            case "mqtt":
                config = self.directory / "mosquitto.conf"
                config.write_text(f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
                command = [program("mosquitto"), "-c", str(config)]
            case "http":
                command = [sys.executable, str(SERVERS / "json_server.py"), str(port)]
            case _:
                more = ["--without-security", "--items", "10"] if name == "opcua" else []
                simulate = ["-m", "edge_agent", "simulate", name, "--port", str(port), "--json", *more]
                command = [sys.executable, *simulate]
        return Program(command, port, self.directory / f"{name}.log")

    def _document(self) -> dict[str, Any]:
        node = "nsu=urn:holdfast:simulator;s=Items.{:05d}"
        url = f"opc.tcp://127.0.0.1:{self._ports['opcua']}"
        return {
            "agent": {"id": "every-driver", "runtime_dir": str(self._runtime), "page_listen": None},
            "buffer": {"path": str(self.database)},
            "connections": [
                self._connection("modbus", self._at("modbus"), "holding:{}", kind="uint16"),
                self._connection("s7", self._at("s7"), "DB1.DBW{}", step=2, kind="uint16"),
                self._connection("xgt", self._at("xgt"), "%DW{}", kind="uint16"),
                self._connection("opcua", {"url": url, "timeout": _TIMEOUT}, node, mode="poll"),
                self._connection(
                    "http", {"url": f"http://127.0.0.1:{self._ports['http']}", "timeout": _TIMEOUT},
                    "/values/{}", path="/values.json",
                ),
                self._connection(HOST, {}, "load:1m", tags=1),
                {
                    **self._connection(MQTT, self._at(MQTT), "", tags=1),
                    "groups": [
                        {
                            "name": "all", "interval": f"{self.interval_ms}ms",
                            "tags": [{"name": "t0", "topic": "count", "type": "int64"}],
                        }
                    ],
                },
            ],
        }  # fmt: skip

    def _at(self, name: str) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self._ports[name], "timeout": _TIMEOUT}

    def _connection(
        self, name: str, transport: dict[str, Any], address: str, *, tags: int = 10, step: int = 1,
        kind: str = "float64", **group: Any,
    ) -> dict[str, Any]:  # fmt: skip
        listed = [
            {"name": f"t{index}", "address": address.format(step * index), "type": kind}
            for index in range(tags)
        ]
        polled = {"name": "all", "interval": f"{self.interval_ms}ms", "tags": listed, **group}
        return {"name": name, "driver": name, "transport": transport, "groups": [polled]}

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(peer.start() for peer in self.peers.values()))
            await self._publisher.start()
            await self.agent.start()
            await until(self._all_good, 60, f"every connection is read; see {self.directory}/agent.log")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in (self.agent, self._publisher, *self.peers.values()):
            await each.kill()
        shutil.rmtree(self._runtime)

    # --- what it says ----------------------------------------------------------------------------

    async def status(self) -> AgentStatus:
        return await asyncio.to_thread(LocalClient(self._runtime / "agent.sock").status)

    async def _latest(self) -> list[LatestValue]:
        try:
            return await asyncio.to_thread(LocalClient(self._runtime / "agent.sock").latest)
        except NotConnected:
            return []

    async def _all_good(self) -> bool:
        self.agent.check()
        values = await self._latest()
        named = {each.connection for each in values}
        return named == {*self.peers, HOST} and all(each.quality == "good" for each in values)

    async def overruns(self) -> dict[str, int]:
        return {each.name: each.overruns for each in (await self.status()).connections}

    # --- what befalls it -------------------------------------------------------------------------

    async def strike(self, name: str, fault: str, seconds: float) -> None:
        """Kills or freezes one peer for so long, and waits until it is read again, by itself."""
        peer = self.peers[name]
        begin, starting = time.monotonic_ns(), (0, 0)
        if fault == "kill":
            await peer.kill()
            await asyncio.sleep(seconds)
            again = time.monotonic_ns()
            await peer.start()
            starting = (again, time.monotonic_ns())
        else:
            peer.freeze()
            await asyncio.sleep(seconds)
            peer.thaw()
        back, back_ms = time.monotonic(), time.time_ns() // 1_000_000

        async def is_read() -> bool:
            values = [each for each in await self._latest() if each.connection == name]
            return all(each.quality == "good" and each.time >= back_ms for each in values)

        await until(is_read, 60, f"{name} is read again after {fault}")
        healed = time.monotonic() - back
        self.strikes.append(Strike(name, fault, begin, time.monotonic_ns(), healed, starting))

    async def stop(self) -> None:
        """Everything is stored then."""
        self.agent.send(signal.SIGTERM)
        assert await self.agent.ended(30) == 0


def frames_of(database: Path) -> dict[str, list[Seen]]:
    """By connection, in the order of their numbers; and that there is no record of a loss."""
    found: dict[str, list[Seen]] = {}
    with closing(connect(database)) as db:
        schemas = Schemas(db)
        for row in batches(db):
            batch = Batch.open(row.body, row.codec, row.raw)
            assert not list(batch.records(Kind.LOSS))
            for index, entry in enumerate(batch.sections):
                if entry["k"] != "frames":
                    continue
                schema = schemas.get(entry["s"])
                assert schema is not None
                first = schema.tags[0]
                for frame in batch.frames(index, schema):
                    bad = any(run.quality is not Quality.GOOD for run in frame.quality)
                    has_number = not bad and first.type is ValueType.INT64
                    value = int.from_bytes(frame.row[:8], "little", signed=True) if has_number else None
                    found.setdefault(schema.connection, []).append(
                        Seen(frame.n, frame.mono_ns, not bad, value)
                    )
    return {name: sorted(frames) for name, frames in found.items()}
