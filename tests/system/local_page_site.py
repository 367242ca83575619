"""A plant to look at: a centre, an agent and two simulated PLCs as processes, and the page's views."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from edge_agent.demo.children import Child, output_of
from edge_agent.demo.plant import PLANT, DemoPlc
from tests.system.browser import Tab

PRESS, OVEN = PLANT[0], PLANT[1]
LANDSCAPE, PORTRAIT = (1024, 768), (768, 1024)
DEVICE = "press-shop-01"


@dataclass
class Site:
    """A centre, an agent and two simulated PLCs as processes."""

    url: str
    plcs: dict[str, Child]
    centre: Child


@contextlib.asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    children: list[Child] = []
    try:
        data = directory / "central"
        token = await output_of("central_sync", "token", "create", "--data", str(data), "--device", DEVICE)
        listen = ["central_sync", "run", "--data", str(data), "--listen", "127.0.0.1:0", "--json"]
        centre = await start(children, "central", listen, directory)
        url = str((await centre.ready())["url"])
        # So that what is started again is where the agent looks for it.
        listen[listen.index("127.0.0.1:0")] = url.removeprefix("http://")
        plcs: dict[str, Child] = {}
        connections = []
        for plc in (PRESS, OVEN):
            command = simulator(plc, directory)
            plcs[plc.name] = await start(children, plc.name, command, directory)
            port = (await plcs[plc.name].ready())["ports"][0]
            command[command.index("--port") + 1] = str(port)
            connections.append(plc.settings(port))
        config = directory / "edge-agent.yaml"
        config.write_bytes(orjson.dumps(settings(directory, url, token, connections)))
        await start(children, "agent", ["edge_agent", "run", "-c", str(config)], directory)
        yield Site(await page_address(config), plcs, centre)
    finally:
        for child in reversed(children):
            await child.stop()


async def start(children: list[Child], name: str, arguments: list[str], directory: Path) -> Child:
    child = Child(name, arguments, directory / f"{name}.log")
    await child.start()
    children.append(child)
    return child


def simulator(plc: DemoPlc, directory: Path) -> list[str]:
    signals = directory / f"{plc.name}.json"
    signals.write_bytes(orjson.dumps(plc.signals()))
    return [
        "edge_agent", "simulate", "modbus", "--port", "0", "--json", "--framing", plc.framing,
        "--tick-ms", "250", "--signals", str(signals),
    ]  # fmt: skip


def settings(directory: Path, url: str, token: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "agent": {"id": DEVICE, "runtime_dir": str(directory / "run"), "page_listen": "127.0.0.1:0"},
        "central": {"url": url, "token": token, "heartbeat_interval": "2s"},
        "connections": connections,
    }


async def page_address(config: Path) -> str:
    async with asyncio.timeout(30):
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "edge_agent", "status", "-c", str(config), "--json",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            out, _ = await process.communicate()
            page = (json.loads(out).get("page") if out else None) or {}
            if page.get("state") == "open":
                return f"http://{page['address']}/"


async def go(tab: Tab, view: str) -> None:
    await tab.run(f"location.hash = '#/{view}'")
    await tab.wait_for(f"document.querySelector('#view').dataset.view === '{view}'")
    await tab.wait_for("document.querySelector('#view').innerText.length > 20")
