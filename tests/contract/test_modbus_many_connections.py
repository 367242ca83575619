"""Five hundred connections in one process: how they start, what they take, and how they come back."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.drivers.modbus import SPEC
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.pipeline.build import Workshop, blueprint, build_poller
from edge_agent.pipeline.poller import Poller
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

pytestmark = pytest.mark.alone

CONNECTIONS = 500
SOON_SECONDS = 20.0
OUTAGE_SECONDS = 2.0
# What a link and its poller may take: twice what was measured.
MOST_BYTES_EACH = 64 * 1024
# Of all connections in any tenth of a second of their return.
MOST_AT_ONCE = 0.35


class Sink:
    """Counts frames by connection."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()

    def append(self, schema: Schema, frame: Frame) -> None:
        if frame.row:
            self.frames[schema.connection] += 1

    def record(self, kind: Any, record: Any) -> None:
        raise AssertionError("pollers record nothing")

    async def announce(self, schemas: list[Schema]) -> None:
        raise AssertionError("pollers announce nothing")


def poller(index: int, port: int, workshop: Workshop) -> Poller:
    tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in range(10)]
    settings = ModbusConnection.model_validate(
        {
            "name": f"plc{index}", "driver": "modbus",
            "transport": {"type": "tcp", "host": "127.0.0.1", "port": port, "timeout": "2s"},
            "groups": [{"name": "g", "interval": "1s", "tags": tags}],
        }
    )  # fmt: skip
    made, _ = build_poller(blueprint(settings, SPEC), SPEC, workshop)
    return made


@asynccontextmanager
async def plant(port: int = 0) -> AsyncIterator[int]:
    """A simulator in another process. Gives its port; it dies without a word."""
    command = ["-m", "edge_agent", "simulate", "modbus", "--port", str(port), "--json"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SOON_SECONDS):
            ready = json.loads(await process.stdout.readline())
        yield ready["ports"][0]
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def running(pollers: list[Poller]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in pollers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def all_in(pollers: list[Poller], state: str) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while any(each.report().state != state for each in pollers):
            await asyncio.sleep(0.05)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_five_hundred_connections_start_and_come_back_without_a_stampede() -> None:
    sink = Sink()
    workshop = Workshop(SystemClock(), sink)
    async with plant() as port:
        warm_up = poller(CONNECTIONS, port, workshop)
        async with running([warm_up]):
            await all_in([warm_up], "connected")
        before_bytes, before_files = rss_bytes(), descriptors()
        pollers = [poller(index, port, workshop) for index in range(CONNECTIONS)]
        loop = asyncio.get_running_loop()
        started = loop.time()
        stack = running(pollers)
        await stack.__aenter__()
        await all_in(pollers, "connected")
        assert loop.time() - started < 5.0
        assert descriptors() - before_files <= CONNECTIONS + 10
        assert rss_bytes() - before_bytes < CONNECTIONS * MOST_BYTES_EACH
        await _polls_are_spread(sink, pollers)
    try:
        await all_in(pollers, "down")
        await asyncio.sleep(OUTAGE_SECONDS)
        async with plant(port):
            await all_in(pollers, "connected")
            returned = Counter(each.report().since // 100 for each in pollers)
            assert max(returned.values()) <= MOST_AT_ONCE * CONNECTIONS, sorted(returned.items())
            assert len(returned) >= 4
    finally:
        await stack.__aexit__(None, None, None)
    assert descriptors() <= before_files


async def _polls_are_spread(sink: Sink, pollers: list[Poller]) -> None:
    """Each is polled, and in no tenth of a second many more than in another."""
    loop = asyncio.get_running_loop()
    seen = sink.frames.total()
    counts: list[int] = []
    begun = loop.time()
    for step in range(1, 21):
        await asyncio.sleep(begun + step / 10 - loop.time())
        counts.append(sink.frames.total() - seen)
        seen += counts[-1]
    assert sum(counts) >= 1.8 * CONNECTIONS
    assert max(counts) <= MOST_AT_ONCE * CONNECTIONS, counts
    assert len(sink.frames) == CONNECTIONS + 1
