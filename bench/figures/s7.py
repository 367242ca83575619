"""100,000 bytes/s from S7 CPUs, polled and stored, beside python-snap7's client with the same bytes."""

import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.figure import Beside, Order, Outcome, progress
from bench.watching import all_framed, document, observe
from edge_agent.demo.children import Child, output_of

_CONNECTIONS: Final = 10
_BYTES: Final = 10_000
_INTERVAL: Final = 1.0
_GOAL_RATIO: Final = 1.6


async def run(order: Order) -> list[Outcome]:
    """The library has its windows before and after the agent's, with the same simulator."""
    runtime = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir="/dev/shm"))
    simulator = Child(
        "simulator", ["edge_agent", "simulate", "s7", "--json", "--ports", str(_CONNECTIONS)],
        order.directory / "simulator.log",
    )  # fmt: skip
    config = order.directory / "edge-agent.yaml"
    agent = Child("agent", ["edge_agent", "run", "-c", str(config)], order.directory / "agent.log")
    try:
        await simulator.start()
        ports = (await simulator.ready())["ports"]
        config.write_bytes(orjson.dumps(_document(ports, runtime)))
        before = await _library(ports, order.seconds / 2)
        await agent.start()
        progress(f"agent reads {_CONNECTIONS * _BYTES / _INTERVAL:,.0f} bytes/s for {order.seconds:g} s")
        usage, stored, details = await observe(
            agent, simulator, runtime, order.seconds, all_framed(_CONNECTIONS)
        )
        await agent.stop()
        after = await _library(ports, order.seconds / 2)
    finally:
        await agent.stop()
        await simulator.stop()
        shutil.rmtree(runtime)
    windows = before["cpu"] + after["cpu"]
    library = round(median(windows), 2)
    ratio = round(usage.cpu_percent / library, 2)
    details |= {
        "bytes_per_second_stored": round(2 * stored),
        "agent_windows": usage.windows,
        "library_windows": [round(cpu, 2) for cpu in windows],
        "library_bytes_per_second": round(median(before["reads"] + after["reads"]) * _BYTES),
    }
    return [
        Outcome(
            "s7", usage.cpu_percent, "% of a core", f"≤ {_GOAL_RATIO:g} × python-snap7's client",
            ratio <= _GOAL_RATIO,
            f"{_CONNECTIONS} S7 connections × {_BYTES:,} bytes (words) at {_INTERVAL:g} s, all changing, PDU "
            "480, polled and stored; median of 5 windows of the whole agent",
            Beside("python-snap7, db_read of the same bytes in a thread a connection", library,
                   "% of a core", ratio),
            details,
        )
    ]  # fmt: skip


def _document(ports: list[int], runtime: Path) -> dict[str, Any]:
    words = _BYTES // 2
    tags = [{"name": f"t[0..{words - 1}]", "address": f"DB1.DBW0..{_BYTES - 1}"}]
    return document(
        runtime,
        [
            {
                "name": f"cpu{index}",
                "driver": "s7",
                "transport": {"host": "127.0.0.1", "port": port},
                "groups": [{"name": "all", "interval": f"{_INTERVAL:g}s", "tags": tags}],
            }
            for index, port in enumerate(ports)
        ],
    )


async def _library(ports: list[int], seconds: float) -> dict[str, list[float]]:
    printed = await output_of(
        "bench.s7_reader", *map(str, ports), "--bytes", str(_BYTES), "--interval", str(_INTERVAL),
        "--seconds", str(seconds),
    )  # fmt: skip
    found: dict[str, list[float]] = orjson.loads(printed)
    return found
