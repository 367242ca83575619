"""A real agent and its file: nothing is written until the file permits it, and a reload is enough."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.writing import WriteReport
from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig
from edge_agent.web.client import LocalClient

SOON_SECONDS = 30.0
ENTRY = {"tag": "plc.set", "min": 0, "max": 50, "interval": "0s"}


def document(port: int, runtime: Path, allow: list[dict[str, Any]]) -> str:
    tags = [{"name": "set", "address": "holding:3", "scale": 0.1}, {"name": "other", "address": "holding:4"}]
    return yaml.safe_dump(
        {
            "agent": {"id": "writes", "runtime_dir": str(runtime), "page_listen": None},
            "buffer": {"path": str(runtime.parent / "data" / "buffer.db")},
            "writes": {"interval": "0s", "allow": allow},
            "connections": [
                {
                    "name": "plc",
                    "driver": "modbus",
                    "transport": {"host": "127.0.0.1", "port": port},
                    "groups": [{"name": "all", "interval": "30s", "tags": tags}],
                }
            ],
        }
    )


@asynccontextmanager
async def agent(config: Path) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "edge_agent", "run", "-c", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def connected(client: LocalClient) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            with suppress(NotConnected):
                status = await asyncio.to_thread(client.status)
                if [each.state for each in status.connections] == ["connected"]:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.writes
async def test_the_file_alone_permits_and_a_reload_puts_it_in_force_and_takes_it_back(tmp_path: Path) -> None:
    runtime, config = tmp_path / "run", tmp_path / "edge-agent.yaml"
    runtime.mkdir(mode=0o700)
    client = LocalClient(runtime / "agent.sock")

    async def write(value: object, tag: str = "plc.set") -> WriteReport:
        return await asyncio.to_thread(client.write, tag, value)  # type: ignore[arg-type]

    async with Simulator(SimulatorConfig(writable=True)) as plc:
        config.write_text(document(plc.ports[0], runtime, []))
        async with agent(config):
            await connected(client)
            before = (await asyncio.to_thread(client.status)).connections[0].since
            refused = await write("4.5")
            assert (refused.state, refused.code, plc.counters.write_requests) == (
                "refused",
                "not_writable",
                0,
            )

            config.write_text(document(plc.ports[0], runtime, [ENTRY]))
            assert (await asyncio.to_thread(client.reload)).unchanged == ["plc"]
            good = await write("4.5")
            assert (good.state, good.raw, plc.held("holding", 3)) == ("confirmed", 45, 45)
            assert (await write("1", "plc.other")).code == "not_writable"
            assert (await write("50.1")).code == "out_of_range"

            config.write_text(document(plc.ports[0], runtime, []))
            await asyncio.to_thread(client.reload)
            assert (await write("4.6")).code == "not_writable"
            assert (await asyncio.to_thread(client.status)).connections[0].since == before
        assert plc.counters.write_requests == 1
    lines = (tmp_path / "data" / "writes.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["phase"] for line in lines] == ["begin", "end"]
