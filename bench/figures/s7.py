"""100,000 bytes/s from S7 CPUs, polled and stored, beside python-snap7's client with the same bytes."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from bench.figure import Beside, Order, Outcome, progress
from bench.figures.reference import lateness_between, overruns, upper_bound
from bench.plant import SETTLE_SECONDS
from bench.processes import Usage, watch
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from tests.crash.rig import until

_CONNECTIONS: Final = 10
_BYTES: Final = 10_000
_INTERVAL: Final = 1.0
_GOAL_RATIO: Final = 1.6
_START_SECONDS: Final = 180


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
        usage, details = await _observe(agent, simulator, runtime, order.seconds)
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
    return {
        "agent": {"id": "bench", "runtime_dir": str(runtime), "page_listen": None},
        "buffer": {"path": "buffer.db", "flush_interval": "1s"},
        "connections": [
            {
                "name": f"cpu{index}",
                "driver": "s7",
                "transport": {"host": "127.0.0.1", "port": port},
                "groups": [{"name": "all", "interval": f"{_INTERVAL:g}s", "tags": tags}],
            }
            for index, port in enumerate(ports)
        ],
    }


async def _library(ports: list[int], seconds: float) -> dict[str, list[float]]:
    printed = await output_of(
        "bench.s7_reader", *map(str, ports), "--bytes", str(_BYTES), "--interval", str(_INTERVAL),
        "--seconds", str(seconds),
    )  # fmt: skip
    found: dict[str, list[float]] = orjson.loads(printed)
    return found


async def _observe(
    agent: Child, simulator: Child, runtime: Path, seconds: float
) -> tuple[Usage, dict[str, Any]]:
    client = LocalClient(runtime / "agent.sock", timeout_seconds=60)

    async def status() -> AgentStatus:
        return await asyncio.to_thread(client.status)

    async def all_polled() -> bool:
        with contextlib.suppress(NotConnected):
            found = await status()
            return len(found.accounting) == _CONNECTIONS and all(entry.framed for entry in found.accounting)
        return False

    await until(all_polled, _START_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    progress(f"agent reads {_CONNECTIONS * _BYTES / _INTERVAL:,.0f} bytes/s for {seconds:g} s")
    loop = asyncio.get_running_loop()
    first, begin = await status(), loop.time()
    usage = await watch({"agent": agent.pid, "simulator": simulator.pid}, seconds)
    last, took = await status(), loop.time() - begin
    return usage["agent"], {
        "bytes_per_second_stored": round(2 * (last.stored_samples - first.stored_samples) / took),
        "lost_samples": last.lost_samples,
        "overruns": overruns(last) - overruns(first),
        "lateness_p99_ms": upper_bound(lateness_between(first, last), 0.99),
        "agent_pss_mib": usage["agent"].pss_mib,
        "simulator_cpu_percent": usage["simulator"].cpu_percent,
    }
