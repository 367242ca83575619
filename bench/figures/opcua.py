"""1,000 OPC UA items at 100 ms, subscribed to and stored, beside asyncua's own subscription to them."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.figure import Beside, Order, Outcome, progress
from bench.opcua_server import node
from bench.plant import SETTLE_SECONDS
from bench.processes import Usage, watch
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from tests.crash.rig import until

_ITEMS: Final = 1_000
_INTERVAL: Final = 0.1
_GOAL_RATIO: Final = 1.6
_START_SECONDS: Final = 180


async def run(order: Order) -> list[Outcome]:
    """The bare client has its windows before and after the agent's, with the same server."""
    runtime = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir="/dev/shm"))
    arguments = ["bench.opcua_server", "--items", str(_ITEMS), "--interval", str(_INTERVAL)]
    server = Child("server", arguments, order.directory / "server.log")
    config = order.directory / "edge-agent.yaml"
    agent = Child("agent", ["edge_agent", "run", "-c", str(config)], order.directory / "agent.log")
    try:
        await server.start()
        url = f"opc.tcp://127.0.0.1:{(await server.ready())['port']}"
        config.write_bytes(orjson.dumps(_document(url, runtime)))
        before = await _bare(url, order.seconds / 2)
        await agent.start()
        usage, details = await _observe(agent, server, runtime, order.seconds)
        await agent.stop()
        after = await _bare(url, order.seconds / 2)
    finally:
        await agent.stop()
        await server.stop()
        shutil.rmtree(runtime)
    return [_outcome(usage, details, before["cpu"] + after["cpu"], before["changes"] + after["changes"])]


def _outcome(usage: Usage, details: dict[str, Any], cpu: list[float], changes: list[float]) -> Outcome:
    bare, rate = round(median(cpu), 2), details["changes_per_second_stored"]
    # What is compared is the cost of a change: on a busy machine not all of them come to the bare client.
    ratio = (
        round((usage.cpu_percent / rate) / (sum(cpu) / sum(changes)), 2) if rate and sum(changes) else None
    )
    details |= {
        "agent_windows": usage.windows,
        "bare_windows": cpu,
        "bare_changes": changes,
    }
    return Outcome(
        "opcua", usage.cpu_percent, "% of a core", f"≤ {_GOAL_RATIO:g} × the bare client, for a change",
        ratio is not None and ratio <= _GOAL_RATIO and not details["lost_samples"],
        f"{_ITEMS:,} monitored items at {1000 * _INTERVAL:g} ms, all changing, stored durably; median of 5 "
        "windows of the whole agent. The bare client is asyncua's subscription with a handler that counts.",
        Beside("asyncua's own subscription", bare, "% of a core", ratio),
        details,
    )  # fmt: skip


def _document(url: str, runtime: Path) -> dict[str, Any]:
    tags = [{"name": f"t{place}", "address": node(place), "type": "float64"} for place in range(_ITEMS)]
    return {
        "agent": {"id": "bench", "runtime_dir": str(runtime), "page_listen": None},
        "buffer": {"path": "buffer.db", "flush_interval": "1s"},
        "connections": [
            {
                "name": "server",
                "driver": "opcua",
                "transport": {"url": url, "timeout": "10s"},
                "groups": [{"name": "all", "interval": f"{1000 * _INTERVAL:g}ms", "tags": tags}],
            }
        ],
    }


async def _bare(url: str, seconds: float) -> dict[str, list[float]]:
    printed = await output_of(
        "bench.opcua_reader",
        url,
        "--items",
        str(_ITEMS),
        "--interval",
        str(_INTERVAL),
        "--seconds",
        str(seconds),
    )
    found: dict[str, list[float]] = orjson.loads(printed)
    return found


async def _observe(
    agent: Child, server: Child, runtime: Path, seconds: float
) -> tuple[Usage, dict[str, Any]]:
    client = LocalClient(runtime / "agent.sock", timeout_seconds=60)

    async def status() -> AgentStatus:
        return await asyncio.to_thread(client.status)

    async def all_told() -> bool:
        with contextlib.suppress(NotConnected):
            found = await status()
            return any(entry.framed >= _ITEMS for entry in found.accounting)
        return False

    await until(all_told, _START_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    progress(f"agent is told of {_ITEMS / _INTERVAL:,.0f} changes/s for {seconds:g} s")
    loop = asyncio.get_running_loop()
    first, begin = await status(), loop.time()
    usage = await watch({"agent": agent.pid, "server": server.pid}, seconds)
    last, took = await status(), loop.time() - begin
    return usage["agent"], {
        "changes_per_second_stored": round((last.stored_samples - first.stored_samples) / took),
        "lost_samples": last.lost_samples,
        "agent_pss_mib": usage["agent"].pss_mib,
        "server_cpu_percent": usage["server"].cpu_percent,
    }
