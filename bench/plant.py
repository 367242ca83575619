"""A simulator, a centre and an agent as real processes, with the load that a figure asks for."""

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.centre import Account, CentreApi
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from tests.crash.rig import free_port, until

DEVICE: Final = "bench"
TICK_MS: Final = 1000
# A start's first polls lie off their grid, and the first flushes carry schemas.
SETTLE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is polled: connections × tags, each of `words` registers, once in `interval` seconds.

    explicit: every tag is a line of the config, instead of one range of names. latency_ms: of each
    request, at the simulator. signals: what its registers hold; none: a counter that always changes.
    """

    connections: int = 100
    tags: int = 1000
    interval: float = 1.0
    flush_interval: float = 1.0
    type: str = "uint16"
    explicit: bool = False
    latency_ms: float = 0.0
    signals: tuple[dict[str, Any], ...] = ()

    @property
    def words(self) -> int:
        return 2 if self.type == "float32" else 1

    @property
    def registers(self) -> int:
        return self.tags * self.words

    @property
    def samples_per_second(self) -> float:
        return self.connections * self.tags / self.interval

    def tag_settings(self) -> list[dict[str, Any]]:
        if not self.explicit:
            addresses = f"holding:0..{self.registers - 1}"
            return [{"name": f"t[0..{self.tags - 1}]", "address": addresses, "type": self.type}]
        return [
            {"name": f"t{index}", "address": f"holding:{index * self.words}", "type": self.type}
            for index in range(self.tags)
        ]


class Plant:
    """`async with` starts simulator and centre; `start_agent` the agent. All of them end with the block.

    config: the agent's, JSON and so YAML; `write_config` takes another document.
    """

    def __init__(self, directory: Path, load: Load, tick_ms: int = TICK_MS) -> None:
        self.load = load
        self.directory = directory
        self.central_database = directory / "central" / "central.db"
        self.config = directory / "edge-agent.yaml"
        self.ports: list[int] = []
        self.api: CentreApi
        self.agent = Child("agent", ["edge_agent", "run", "-c", str(self.config)], directory / "agent.log")
        self.centre: Child
        self.simulator: Child
        self.document: dict[str, Any] = {}
        self._tick_ms = tick_ms
        self._stack = contextlib.AsyncExitStack()
        self._runtime = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir="/dev/shm"))

    async def __aenter__(self) -> Self:
        self._stack.callback(self._remove_runtime)
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        data = str(self.directory / "central")
        token = await output_of("central_sync", "token", "create", "--data", data, "--device", DEVICE)
        operator = await output_of("central_sync", "token", "create", "--data", data, "--role", "operator")
        self.simulator = Child("simulator", self._simulator_arguments(), self.directory / "simulator.log")
        self._stack.push_async_callback(self.simulator.stop)
        await self.simulator.start()
        self.ports = (await self.simulator.ready())["ports"]
        port = free_port()
        self.centre = Child(
            "centre",
            ["central_sync", "run", "--data", data, "--listen", f"127.0.0.1:{port}", "--json"],
            self.directory / "central.log",
        )
        self._stack.push_async_callback(self.centre.stop)
        await self.centre.start()
        await self.centre.ready()
        url = f"http://127.0.0.1:{port}"
        self.api = CentreApi(url, operator, DEVICE)
        self.document = self._document(url, token)
        self.write_config(self.document)

    def _simulator_arguments(self) -> list[str]:
        load = self.load
        arguments = ["edge_agent", "simulate", "modbus", "--json", "--ports", str(load.connections)]
        arguments += ["--tick-ms", str(self._tick_ms), "--latency-ms", str(load.latency_ms)]
        if load.signals:
            path = self.directory / "signals.json"
            path.write_bytes(orjson.dumps(load.signals))
            arguments += ["--signals", str(path)]
        return arguments

    def _document(self, url: str, token: str) -> dict[str, Any]:
        load = self.load
        return {
            "agent": {"id": DEVICE, "runtime_dir": str(self._runtime)},
            "central": {"url": url, "token": token},
            "buffer": {"path": "buffer.db", "flush_interval": f"{load.flush_interval:g}s"},
            "connections": [
                {
                    "name": f"plc{index:03d}",
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": port},
                    "groups": [
                        {"name": "all", "interval": f"{load.interval:g}s", "tags": load.tag_settings()}
                    ],
                }
                for index, port in enumerate(self.ports)
            ],
        }

    def write_config(self, document: dict[str, Any]) -> None:
        self.config.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    def _remove_runtime(self) -> None:
        for path in self._runtime.glob("*"):
            path.unlink()
        self._runtime.rmdir()

    async def start_agent(self) -> float:
        """The wall clock (seconds) at which the process was started. Returns once every connection has
        delivered to the centre."""
        begin = time.time()
        self._stack.push_async_callback(self.agent.stop)
        await self.agent.start()

        async def all_polled() -> bool:
            with contextlib.suppress(NotConnected):
                found = await self.status()
                account = await self.api.account()
                return all(entry.framed for entry in found.accounting) and account.samples > 0
            return False

        await until(all_polled, 60)
        return begin

    async def settle(self) -> None:
        await asyncio.sleep(SETTLE_SECONDS)

    def client(self) -> LocalClient:
        return LocalClient(self._runtime / "agent.sock", timeout_seconds=60)

    async def status(self) -> AgentStatus:
        return await asyncio.to_thread(self.client().status)

    async def drained(self) -> Account:
        """Stops the agent, and waits until the centre has everything; its account then."""
        await self.agent.stop()

        async def nothing_pending() -> bool:
            return (await self.api.account()).pending == 0

        await until(nothing_pending, 60)
        return await self.api.account()

    def pids(self) -> dict[str, int]:
        return {"agent": self.agent.pid, "centre": self.centre.pid, "simulator": self.simulator.pid}
