"""100,000 words/s from XGT PLCs, polled and stored durably, beside a bare reader of the same frames."""

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
_WORDS: Final = 10_000
_INTERVAL: Final = 1.0
_GOAL_CPU: Final = 15.0


async def run(order: Order) -> list[Outcome]:
    """The bare reader has its windows before and after the agent's, with the same simulator."""
    runtime = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir="/dev/shm"))
    simulator = Child(
        "simulator", ["edge_agent", "simulate", "xgt", "--json"], order.directory / "simulator.log"
    )
    config = order.directory / "edge-agent.yaml"
    agent = Child("agent", ["edge_agent", "run", "-c", str(config)], order.directory / "agent.log")
    try:
        await simulator.start()
        port = (await simulator.ready())["ports"][0]
        config.write_bytes(orjson.dumps(_document(port, runtime)))
        before = await _bare(port, order.seconds / 2)
        await agent.start()
        progress(f"agent reads {_CONNECTIONS * _WORDS / _INTERVAL:,.0f} words/s for {order.seconds:g} s")
        usage, stored, details = await observe(
            agent, simulator, runtime, order.seconds, all_framed(_CONNECTIONS)
        )
        await agent.stop()
        after = await _bare(port, order.seconds / 2)
    finally:
        await agent.stop()
        await simulator.stop()
        shutil.rmtree(runtime)
    windows = before["cpu"] + after["cpu"]
    bare = round(median(windows), 2)
    replies = median(before["replies"] + after["replies"])
    details |= {
        "words_per_second_stored": round(stored),
        "agent_windows": usage.windows,
        "bare_windows": [round(cpu, 2) for cpu in windows],
        "bare_words_per_second": round(replies * _WORDS / -(-2 * _WORDS // 1400)),
    }
    return [
        Outcome(
            "xgt", usage.cpu_percent, "% of a core", f"≤ {_GOAL_CPU:g} %", usage.cpu_percent <= _GOAL_CPU,
            f"{_CONNECTIONS} XGT connections × {_WORDS:,} words at {_INTERVAL:g} s, all changing, polled and "
            "stored; median of 5 windows of the whole agent",
            Beside("a bare asyncio reader of the same frames", bare, "% of a core",
                   round(usage.cpu_percent / bare, 2)),
            details,
        )
    ]  # fmt: skip


def _document(port: int, runtime: Path) -> dict[str, Any]:
    tags = [{"name": f"t[0..{_WORDS - 1}]", "address": f"%DW0..{_WORDS - 1}"}]
    return document(
        runtime,
        [
            {
                "name": f"plc{index}",
                "driver": "xgt",
                "transport": {"host": "127.0.0.1", "port": port},
                "groups": [{"name": "all", "interval": f"{_INTERVAL:g}s", "tags": tags}],
            }
            for index in range(_CONNECTIONS)
        ],
    )


async def _bare(port: int, seconds: float) -> dict[str, list[float]]:
    printed = await output_of(
        "bench.xgt_reader", str(port), "--words", str(_WORDS), "--connections", str(_CONNECTIONS),
        "--interval", str(_INTERVAL), "--seconds", str(seconds),
    )  # fmt: skip
    found: dict[str, list[float]] = orjson.loads(printed)
    return found
