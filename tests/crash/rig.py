"""A whole Holdfast of real processes for the crash tests: simulator, centre, agent, and the links between.

`judge` says what arrived. A test that is run against a mutant (`mutations`) hands that on to the processes
through its environment.
"""

import asyncio
import contextlib
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
from tests.crash.judge import TICK_MS, Judgement, Run, judge

DEVICE = "rig"


@dataclass(frozen=True)
class Setup:
    """How a rig differs from the plainest one.

    proxied: the agent reaches centre and PLCs through `Rig.to_centre` and `Rig.to_plcs`.
    agent_data, central_data: directories other than those beside each other in the rig's own.
    buffer: settings of that section. launch_agent, launch_centre: what comes before the program's own
    arguments, as `tests.crash.launch` takes them.
    """

    proxied: bool = False
    agent_data: Path | None = None
    central_data: Path | None = None
    buffer: Mapping[str, Any] = field(default_factory=dict)
    launch_agent: Sequence[str] = ()
    launch_centre: Sequence[str] = ()


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
        self._config = directory / "edge-agent.yaml"
        self.simulator: Child
        central_data = self._setup.central_data or directory / "central"
        self.central_data = central_data
        self.central_database = central_data / "central.db"
        self.edge_database = (self._setup.agent_data or directory) / "buffer.db"
        self.agent: Child
        self.centre: Child
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
        arguments = ["--ports", str(self._connections), "--tick-ms", str(TICK_MS)]
        arguments = ["edge_agent", "simulate", "modbus", "--json", *arguments]
        self.simulator = self._child("simulator", (), arguments)
        await self.simulator.start()
        plcs = (await self.simulator.ready())["ports"]
        port = free_port()
        self.api = CentreApi(f"http://127.0.0.1:{port}", operator, DEVICE)
        seen = port
        if self._setup.proxied:
            self.to_centre = await self._stack.enter_async_context(FaultProxy("127.0.0.1", port))
            for plc in plcs:
                self.to_plcs.append(await self._stack.enter_async_context(FaultProxy("127.0.0.1", plc)))
            seen, plcs = self.to_centre.port, [proxy.port for proxy in self.to_plcs]
        arguments = ["central_sync", "run", "--data", data, "--listen", f"127.0.0.1:{port}", "--json"]
        self.centre = self._child("centre", self._setup.launch_centre, arguments)
        arguments = ["edge_agent", "run", "-c", str(self._config)]
        self.agent = self._child("agent", self._setup.launch_agent, arguments)
        self._config.write_text(yaml.safe_dump(self._document(f"http://127.0.0.1:{seen}", token, plcs)))

    def _child(self, name: str, launch: Sequence[str], arguments: Sequence[str]) -> Child:
        before = ["tests.crash.launch", *launch] if launch else []
        child = Child(name, [*before, *arguments], self.log(name))
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
        last = self._tags - 1
        tags = [{"name": f"t[0..{last}]", "address": f"holding:0..{last}", "type": "uint16"}]
        return {
            "agent": {"id": DEVICE, "runtime_dir": str(self.runtime), "page_listen": None},
            "central": {"url": url, "token": token, "heartbeat_interval": "2s"},
            "buffer": {"path": str(self.edge_database), **self._setup.buffer},
            "connections": [
                {
                    "name": f"plc{index:02d}",
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": port},
                    "groups": [{"name": "all", "interval": self._interval, "tags": tags}],
                }
                for index, port in enumerate(ports)
            ],
        }

    async def start_centre(self) -> None:
        await self.centre.start()
        await self.centre.ready()

    async def start_agent(self) -> None:
        await self.agent.start()

    async def run_with_kills(self, seconds: float, every: float) -> dict[Run, int]:
        """Kills centre and agent in turn. Returns the samples that the agent had framed before each of its
        kills, by run and connection: all of them must arrive."""
        promised: dict[Run, int] = {}
        end = time.monotonic() + seconds
        kills = 0
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(every, left))
            if time.monotonic() >= end:
                break
            if kills % 2 == 0:
                await self.note_promises(promised)
                await self.agent.kill()
                await self.agent.start()
            else:
                await self.centre.kill()
                await self.start_centre()
            kills += 1
        await self.note_promises(promised)
        return promised

    async def kill_in_turn(self, kills: int, random: Random) -> dict[Run, int]:
        """So many kills of agent and centre in turn, at random moments of a life: half of the agent's as
        soon as it says what it has framed, and all may fall into a start. Returns what was promised."""
        promised: dict[Run, int] = {}
        for number in range(kills):
            victim = self.agent if number % 2 == 0 else self.centre
            if random.random() < 0.5:
                await until(self.agent_answers, 30)
                await self.note_promises(promised)
            await asyncio.sleep(random.uniform(0.0, 0.9))
            if victim is self.agent:
                await self.try_to_note(promised)
            await victim.kill()
            await victim.start()
        await until(self.agent_answers, 30)
        await self.note_promises(promised)
        return promised

    async def status(self) -> AgentStatus:
        """Raises NotConnected while the agent does not answer."""
        return await asyncio.to_thread(LocalClient(self.runtime / "agent.sock").status)

    async def note_promises(self, promised: dict[Run, int]) -> None:
        status = await self.status()
        for entry in status.accounting:
            promised[status.run, entry.connection] = entry.framed

    async def try_to_note(self, promised: dict[Run, int]) -> None:
        with contextlib.suppress(NotConnected):
            await self.note_promises(promised)

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

    async def fresh_value(self, connection: str = "plc00", within_ms: int = 3000) -> bool:
        """Whether the centre has a good value that is that young."""
        now = time.time_ns() // 1_000_000
        points = await self.api.points(connection, "t0", now - within_ms, now)
        return any(quality == "good" for _, _, quality in points)

    async def judged(self) -> Judgement:
        return await asyncio.to_thread(judge, self.central_database, self._tags)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Waits for a condition with a deadline; how long it took. Errors of a centre that is away are no."""
    begin = time.monotonic()
    while True:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            if await condition():
                return time.monotonic() - begin
        assert time.monotonic() - begin < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.05)


def free_port() -> int:
    """A port for the centre, which must come back on the same one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
