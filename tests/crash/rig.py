"""A whole Holdfast of real processes for the crash tests: simulator, centre, agent, and the links between.

`judge` says what arrived. A test that is run against a mutant (`mutations`) hands that on to the processes
through its environment.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.centre import Account, CentreApi
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from tests.crash.fault_proxy import FaultProxy
from tests.crash.judge import BLOCK, TICK_MS, TOLERANCE_TICKS, Judgement, Run, judge

DEVICE = "rig"
FRESH_MS = 3000


@dataclass(frozen=True)
class Setup:
    """How a rig differs from the plainest one.

    proxied: the agent reaches centre and PLCs through `Rig.to_centre` and `Rig.to_plcs`.
    agent_data, central_data: directories other than those beside each other in the rig's own.
    noise: the registers hold noise in place of the judge's formula, so that samples have the bytes that they
    have in plants; rows cannot be judged then. buffer: settings of that section.
    writes: the allow-list of the agent's file; the PLCs then take writes.
    hooks: the section `hooks` of the agent's file. manage: its `remote.manage`. labels: its own.
    """

    proxied: bool = False
    noise: bool = False
    agent_data: Path | None = None
    central_data: Path | None = None
    buffer: Mapping[str, Any] = field(default_factory=dict)
    writes: Sequence[Mapping[str, Any]] = ()
    hooks: Mapping[str, Any] = field(default_factory=dict)
    manage: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Late(AssertionError):
    """What was waited for did not come in time."""


@dataclass
class Killed:
    """promised: samples that the agent said it had framed, by run and connection. noted: kills of the agent
    right before which it said so."""

    promised: dict[Run, int] = field(default_factory=dict)
    noted: int = 0


class Rig:
    """Simulator, centre and agent; `async with` ends them all."""

    def __init__(
        self,
        directory: Path,
        connections: int,
        tags: int,
        interval: str = "1s",
        setup: Setup | None = None,
    ) -> None:
        self._directory = directory
        self._connections = connections
        self._tags = tags
        self._interval = interval
        self._setup = setup or Setup()
        self.runtime = Path(tempfile.mkdtemp(prefix="holdfast-rig-", dir="/dev/shm"))
        self._stack = contextlib.AsyncExitStack()
        self.config = directory / "edge-agent.yaml"
        self.simulator: Child
        central_data = self._setup.central_data or directory / "central"
        self.central_data = central_data
        self.central_database = central_data / "central.db"
        self.edge_database = (self._setup.agent_data or directory) / "buffer.db"
        self.agent: Child
        self.centre: Child
        self._centre_arguments: list[str] = []
        self.url = ""
        self.operator = self.device_token = ""
        self._plc_control = 0
        self.api: CentreApi
        self.to_centre: FaultProxy
        self.to_plcs: list[FaultProxy] = []

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _build(self) -> None:
        data = str(self.central_data)
        token = await output_of("central_sync", "token", "create", "--data", data, "--device", DEVICE)
        operator = await output_of("central_sync", "token", "create", "--data", data, "--role", "operator")
        self.operator, self.device_token = operator, token
        arguments = ["--ports", str(self._connections), "--tick-ms", str(TICK_MS), "--control", "0"]
        arguments = ["edge_agent", "simulate", "modbus", "--json", *arguments]
        if self._setup.noise:
            arguments += ["--signals", str(self._noise())]
        if self._setup.writes:
            arguments += ["--writable"]
        self.simulator = self._child("simulator", arguments)
        await self.simulator.start()
        ready = await self.simulator.ready()
        plcs, self._plc_control = ready["ports"], ready["control"]
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.api = CentreApi(self.url, operator, DEVICE)
        seen = port
        if self._setup.proxied:
            self.to_centre = await self._stack.enter_async_context(FaultProxy("127.0.0.1", port))
            for plc in plcs:
                self.to_plcs.append(await self._stack.enter_async_context(FaultProxy("127.0.0.1", plc)))
            seen, plcs = self.to_centre.port, [proxy.port for proxy in self.to_plcs]
        self._centre_arguments = [
            "central_sync",
            "run",
            "--data",
            data,
            "--listen",
            f"127.0.0.1:{port}",
            "--json",
        ]
        self.make_centre()
        self.make_agent()
        self.config.write_text(yaml.safe_dump(self._document(f"http://127.0.0.1:{seen}", token, plcs)))

    def _noise(self) -> Path:
        """The simulator's signals: every connection has registers of its own."""
        signal = {"area": "holding", "kind": "random", "high": 65535, "count": BLOCK}
        starts = range(0, self._connections * self._tags, BLOCK)
        path = self._directory / "signals.json"
        path.write_text(json.dumps([{**signal, "address": start} for start in starts]))
        return path

    def extend_centre(self, *arguments: str) -> None:
        """More arguments for the centre, from its next start."""
        self._centre_arguments += arguments
        self.make_centre()

    def make_centre(self, *through: str) -> None:
        """`centre` is from now on one that is started through a module of the tests, with its arguments."""
        self.centre = self._child("centre", [*through, *self._centre_arguments])

    def make_agent(self, *through: str) -> None:
        """Like `make_centre`. Whichever ran before must have ended."""
        self.agent = self._child("agent", [*through, "edge_agent", "run", "-c", str(self.config)])

    def _child(self, name: str, arguments: Sequence[str]) -> Child:
        child = Child(name, arguments, self.log(name))
        self._stack.push_async_callback(child.stop)
        return child

    def log(self, name: str) -> Path:
        """Where simulator, centre and agent log to."""
        return self._directory / f"{name}.log"

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._stack.aclose()
        shutil.rmtree(self.runtime)

    def clear_runtime(self) -> None:
        """What another boot does to the runtime directory."""
        shutil.rmtree(self.runtime)
        self.runtime.mkdir(mode=0o700)

    def _document(self, url: str, token: str, ports: list[int]) -> dict[str, Any]:
        return {
            "agent": {
                "id": DEVICE,
                "runtime_dir": str(self.runtime),
                "page_listen": None,
                "labels": dict(self._setup.labels),
            },
            "remote": {"manage": list(self._setup.manage)},
            "central": {"url": url, "token": token, "heartbeat_interval": "2s"},
            "buffer": {"path": str(self.edge_database), **self._setup.buffer},
            "writes": {"interval": "0s", "allow": [dict(entry) for entry in self._setup.writes]},
            **({"hooks": dict(self._setup.hooks)} if self._setup.hooks else {}),
            "connections": [
                {
                    "name": f"plc{index:02d}",
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": port},
                    "groups": [{"name": "all", "interval": self._interval, "tags": self._tags_of(index)}],
                }
                for index, port in enumerate(ports)
            ],
        }

    def _tags_of(self, index: int) -> list[dict[str, Any]]:
        first = index * self._tags if self._setup.noise else 0
        address = f"holding:{first}..{first + self._tags - 1}"
        return [{"name": f"t[0..{self._tags - 1}]", "address": address, "type": "uint16"}]

    async def start_centre(self) -> None:
        await self.centre.start()
        await self.centre.ready()

    async def start_agent(self) -> None:
        await self.agent.start()

    async def kill_in_turn(self, kills: int, random: Random) -> Killed:
        """So many kills of agent and centre in turn, at random moments of their lives, starts included.
        Right before most of the agent's, it says what it has framed: all of that must arrive."""
        killed = Killed()
        for number in range(kills):
            if number % 2:
                await asyncio.sleep(random.uniform(0.0, 0.8))
                await self.centre.kill()
                await self.centre.start()
                continue
            if random.random() < 0.7:
                await until(self.agent_answers, 30)
            await asyncio.sleep(random.uniform(0.0, 0.8))
            with contextlib.suppress(NotConnected):
                await self.note_promises(killed.promised)
                killed.noted += 1
            await self.agent.kill()
            await self.agent.start()
        await until(self.agent_answers, 30)
        await self.note_promises(killed.promised)
        return killed

    async def plc_counters(self) -> dict[str, int]:
        """What the simulated PLCs were asked."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._plc_control)
        writer.write(b'{"stats": true}\n')
        counters: dict[str, int] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return counters

    async def status(self) -> AgentStatus:
        """Raises NotConnected while the agent does not answer."""
        return await asyncio.to_thread(LocalClient(self.runtime / "agent.sock").status)

    async def note_promises(self, promised: dict[Run, int]) -> None:
        status = await self.status()
        for entry in status.accounting:
            promised[status.run, entry.connection] = entry.framed

    async def agent_answers(self) -> bool:
        with contextlib.suppress(NotConnected):
            await self.status()
            return True
        return False

    async def settled(self, seconds: float = 60) -> Account:
        """The centre's account once nothing is pending any more."""

        async def nothing_pending() -> bool:
            return (await self.api.account()).pending == 0

        await until(nothing_pending, seconds)
        return await self.api.account()

    async def drained(self, seconds: float = 60) -> Account:
        """The centre's account once the agent has nothing left to send but what is fresh, and both know."""

        async def nothing_left() -> bool:
            try:
                status = await self.status()
            except NotConnected:
                return False
            oldest = status.buffer.oldest_pending
            fresh = oldest is None or oldest > time.time_ns() // 1_000_000 - FRESH_MS
            reached = all(sink.state == "ok" for sink in status.sinks)
            return fresh and reached and (await self.api.account()).pending == 0

        await until(nothing_left, seconds)
        return await self.api.account()

    async def finished(self, seconds: float = 60) -> Account:
        """Ends the agent, and another life of it sends all that the one before had left."""
        await self.agent.stop()
        await self.agent.start()
        account = await self.drained(seconds)
        await self.agent.stop()
        return account

    async def fresh_value(self, connection: str = "plc00", within_ms: int = 3000) -> bool:
        """Whether the centre has a good value that is that young."""
        now = time.time_ns() // 1_000_000
        points = await self.api.points(connection, "t0", now - within_ms, now)
        return any(quality == "good" for _, _, quality in points)

    async def judged(self, tolerance_ticks: int = TOLERANCE_TICKS) -> Judgement:
        return await asyncio.to_thread(judge, self.central_database, self._tags, tolerance_ticks)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Waits for a condition; how long it took. Errors of a centre that is away are no. Raises Late."""
    begin = time.monotonic()
    while True:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            if await condition():
                return time.monotonic() - begin
        if time.monotonic() - begin >= seconds:
            raise Late(f"not within {seconds} s")
        await asyncio.sleep(0.05)


def free_port() -> int:
    """A port for the centre, which must come back on the same one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
