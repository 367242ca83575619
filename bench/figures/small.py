"""Small plants: one slow PLC, one connection of ten tags, and how long a sample takes to the centre."""

import asyncio
import sys
import time
from statistics import median
from typing import Final

from bench import arrivals
from bench.figure import Beside, Order, Outcome, progress
from bench.figures.reference import overruns, read_bare
from bench.fit import percentile
from bench.plant import Load, Plant
from bench.processes import watch

_STARTS: Final = 5
_LIBRARIES: Final = "import aiohttp, asyncio, orjson, pydantic, sqlite3, structlog, yaml, zstandard"


async def one_slow_plc(order: Order) -> list[Outcome]:
    load = Load(connections=1, latency_ms=2)
    async with Plant(order.directory, load) as plant:
        await plant.start_agent()
        await plant.settle()
        begin = time.time()
        await asyncio.sleep(order.seconds)
        span = int(begin * 1000), int(time.time() * 1000)
        status = await plant.status()
        (connection,) = status.connections
        await plant.drained()
        arrived = len(arrivals.delays_ms(plant.central_database, *span)) * load.tags
        bare = await read_bare(plant.ports, load, order.seconds / 2)
    rate = arrived / ((span[1] - span[0]) / 1000)
    busy = (connection.latency_ms or 0) / (10 * load.interval)
    bare_rate = median(bare.replies) * load.registers / 8
    return [
        Outcome(
            "one_slow_plc", round(rate), "samples/s", "1,000/s, reading < 5 % of the interval",
            rate >= 0.99 * load.samples_per_second and busy < 5,
            "1,000 uint16 at 1 s from a simulated PLC that takes 2 ms a request; samples at the centre",
            Beside("bare asyncio reader", round(bare_rate), "samples/s", round(rate / bare_rate, 3)),
            {"reading_percent_of_interval": round(busy, 2), "overruns": overruns(status)},
        )
    ]  # fmt: skip


async def start(order: Order) -> list[Outcome]:
    """Several starts, the first of which makes the database; then what the last one takes."""
    begins: list[float] = []
    async with Plant(order.directory, Load(connections=1, tags=10)) as plant:
        for round_ in range(_STARTS):
            begins.append(await plant.start_agent())
            if round_ < _STARTS - 1:
                await plant.agent.stop()
        await plant.settle()
        progress(f"measuring memory and CPU for {order.seconds:g} s")
        usage = (await watch(plant.pids(), order.seconds))["agent"]
        await plant.drained()
        read = sorted(each.frame.wall_ms for each in arrivals.frames(plant.central_database))
    took = [next(at for at in read if at >= 1000 * begin) / 1000 - begin for begin in begins]
    imports = [await _imports() for _ in range(_STARTS)]
    what = "1 connection of 10 tags at 1 s"
    return [
        Outcome(
            "start", round(median(took), 2), "s", "≤ 1 s", median(took) <= 1,
            f"{what}; from the start of the process to the end of the first read, median of {_STARTS} starts",
            Beside("Python that only imports the libraries", round(median(imports), 2), "s",
                   round(median(took) / median(imports), 2)),
            {"starts": [round(each, 2) for each in took]},
        ),
        Outcome("small_memory", usage.pss_mib, "MiB PSS", "≤ 60 MiB", usage.pss_mib <= 60, what),
        Outcome(
            "small_cpu", usage.cpu_percent, "% of a core", "≤ 1 %", usage.cpu_percent <= 1,
            f"{what}; median of 5 windows", None, {"windows": usage.windows},
        ),
    ]  # fmt: skip


async def _imports() -> float:
    begin = time.monotonic()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _LIBRARIES)
    await process.wait()
    return time.monotonic() - begin


async def to_centre(order: Order) -> list[Outcome]:
    load = Load(connections=10, tags=100)
    async with Plant(order.directory, load) as plant:
        await plant.start_agent()
        await plant.settle()
        begin = int(time.time() * 1000)
        await asyncio.sleep(order.seconds)
        end = int(time.time() * 1000)
        await plant.drained()
        delays = arrivals.delays_ms(plant.central_database, begin, end)
    p99 = percentile(delays, 0.99) / 1000
    limit = 2 * load.flush_interval
    return [
        Outcome(
            "to_centre_p99", round(p99, 3), "s", f"≤ {limit:g} s, twice the flush interval", p99 <= limit,
            "10 connections × 100 tags at 1 s, flush interval 1 s; from the end of a read to the centre's "
            "receipt of the upload, 99th percentile",
            Beside("the flush interval", load.flush_interval, "s", round(p99 / load.flush_interval, 2)),
            {"p50_seconds": percentile(delays, 0.5) / 1000, "max_seconds": max(delays) / 1000},
        )
    ]  # fmt: skip
