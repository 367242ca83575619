"""1,000 OPC UA items at 100 ms, subscribed to and stored, beside asyncua's own subscription to them."""

import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.figure import Beside, Order, Outcome, progress
from bench.opcua_server import node
from bench.processes import Usage
from bench.watching import document, observe
from edge_agent.demo.children import Child, output_of

_ITEMS: Final = 1_000
_INTERVAL: Final = 0.1
_GOAL_RATIO: Final = 1.6


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
        progress(f"agent is told of {_ITEMS / _INTERVAL:,.0f} changes/s for {order.seconds:g} s")
        usage, stored, details = await observe(
            agent, server, runtime, order.seconds,
            lambda status: any(entry.framed >= _ITEMS for entry in status.accounting),
        )  # fmt: skip
        details["changes_per_second_stored"] = round(stored)
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
    return document(
        runtime,
        [
            {
                "name": "server",
                "driver": "opcua",
                "transport": {"url": url, "timeout": "10s"},
                "groups": [{"name": "all", "interval": f"{1000 * _INTERVAL:g}ms", "tags": tags}],
            }
        ],
    )


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
