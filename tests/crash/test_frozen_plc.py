"""A PLC that freezes: its kernel takes connections and bytes, and nobody answers.

Real processes: two simulators, of which one is stopped with SIGSTOP, a centre and an agent.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.centre import CentreApi
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from edge_agent.wire.messages import ConnectionReport, GroupReport
from tests.crash.rig import DEVICE, free_port, until

LIVENESS_SECONDS = 2.0
INTERVAL_SECONDS = 0.5


class Api(CentreApi):
    async def events(self) -> list[dict[str, Any]]:
        """Oldest first; those of connections, units, groups and sinks."""
        found = await self._get(f"/api/fleet/devices/{DEVICE}/events", {"limit": "200"})
        return [event for event in reversed(found["items"]) if event["code"].endswith(("_silent", "_back"))]

    async def qualities(self, connection: str) -> set[str]:
        path = f"/api/fleet/devices/{DEVICE}/latest-values"
        found = await self._get(path, {"connection": connection})
        return {item["quality"] for item in found["items"]}


class Site:
    """Two PLCs, `freezing` and `steady`, an agent and a centre."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.runtime = runtime
        self.plcs: dict[str, Child] = {}
        self.api: Api

    async def start(self, stack: AsyncExitStack) -> None:
        ports = {}
        for name in ("freezing", "steady"):
            arguments = ["edge_agent", "simulate", "modbus", "--json", "--ports", "1"]
            plc = self.plcs[name] = await self._start(stack, name, arguments)
            ports[name] = (await plc.ready())["ports"][0]
        data, port = str(self.directory / "central"), free_port()
        token = await output_of("central_sync", "token", "create", "--data", data, "--device", DEVICE)
        operator = await output_of("central_sync", "token", "create", "--data", data, "--role", "operator")
        listen = f"127.0.0.1:{port}"
        centre = await self._start(
            stack, "centre", ["central_sync", "run", "--data", data, "--listen", listen, "--json"]
        )
        await centre.ready()
        self.api = Api(f"http://{listen}", operator, DEVICE)
        config = self.directory / "edge-agent.yaml"
        config.write_text(yaml.safe_dump(self._document(f"http://{listen}", token, ports)))
        await self._start(stack, "agent", ["edge_agent", "run", "-c", str(config)])

    async def _start(self, stack: AsyncExitStack, name: str, arguments: list[str]) -> Child:
        child = Child(name, arguments, self.directory / f"{name}.log")
        await child.start()
        stack.push_async_callback(child.stop)
        return child

    def _document(self, url: str, token: str, ports: dict[str, int]) -> dict[str, Any]:
        group = {
            "name": "all", "interval": f"{INTERVAL_SECONDS * 1000:.0f}ms",
            "liveness": f"{LIVENESS_SECONDS:.0f}s", "tags": [{"name": "t[0..9]", "address": "holding:0..9"}],
        }  # fmt: skip
        transport = {"type": "tcp", "host": "127.0.0.1", "timeout": "300ms"}
        return {
            "agent": {"id": DEVICE, "runtime_dir": str(self.runtime), "page_listen": None},
            "central": {"url": url, "token": token, "heartbeat_interval": "1s"},
            "connections": [
                {
                    "name": name, "driver": "modbus", "transport": {**transport, "port": port},
                    "groups": [group],
                }
                for name, port in ports.items()
            ],
        }  # fmt: skip

    def freeze(self) -> None:
        os.kill(self.plcs["freezing"].pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.plcs["freezing"].pid, signal.SIGCONT)

    async def status(self) -> AgentStatus:
        return await asyncio.to_thread(LocalClient(self.runtime / "agent.sock").status)

    async def connection(self, name: str) -> ConnectionReport:
        return next(each for each in (await self.status()).connections if each.name == name)

    async def group(self, name: str) -> GroupReport:
        return (await self.connection(name)).groups[0]

    async def is_up(self) -> bool:
        if not (self.runtime / "agent.sock").exists():
            return False
        states = {each.groups[0].state for each in (await self.status()).connections}
        return states == {"live"} and await self.api.qualities("freezing") == {"good"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="holdfast-frozen-", dir="/dev/shm") as runtime:
        async with AsyncExitStack() as stack:
            opened = Site(tmp_path, Path(runtime))
            await opened.start(stack)
            await until(opened.is_up, 30)
            try:
                yield opened
            finally:
                opened.thaw()  # a process that is stopped takes no SIGTERM


@asynccontextmanager
async def rhythm_kept(site: Site, name: str) -> AsyncIterator[None]:
    """The connection is polled at its interval all the while, and never late by a whole cycle."""
    loop = asyncio.get_running_loop()
    before, begun = await site.connection(name), loop.time()
    yield
    after, seconds = await site.connection(name), loop.time() - begun
    cycles = after.units[0].good_cycles - before.units[0].good_cycles
    assert after.overruns == before.overruns
    assert after.units[0].bad_cycles == before.units[0].bad_cycles
    assert abs(cycles - seconds / INTERVAL_SECONDS) <= 2


@pytest.mark.timeout(120)
async def test_tb_1641_a_frozen_plc_is_rebuilt_shown_told_and_comes_back_while_others_keep_their_rhythm(
    site: Site,
) -> None:
    async with rhythm_kept(site, "steady"):
        site.freeze()

        async def nothing_looks_fresh() -> bool:
            return "good" not in await site.api.qualities("freezing")

        async def is_rebuilt() -> bool:
            return (await site.connection("freezing")).rebuilds >= 1

        async def is_silent() -> bool:
            return (await site.group("freezing")).state == "silent"

        async def is_told() -> bool:
            return len(await site.api.events()) == 1

        assert await until(nothing_looks_fresh, 30) < LIVENESS_SECONDS + 2
        await until(is_rebuilt, LIVENESS_SECONDS + 5)
        await until(is_silent, 3 * LIVENESS_SECONDS + 5)
        await until(is_told, 10)
        assert (await site.connection("freezing")).state == "down"
        assert (await site.group("steady")).state == "live"
        site.thaw()

        async def is_live() -> bool:
            return await site.is_up() and len(await site.api.events()) == 2

        await until(is_live, 40)
    codes = [(event["code"], event["connection"]) for event in await site.api.events()]
    assert codes == [("connection_silent", "freezing"), ("connection_back", "freezing")]
