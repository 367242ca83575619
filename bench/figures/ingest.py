"""What the centre takes on one core, beside plain SQLite inserts of the same bodies on the same core."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import psutil

from bench.figure import Beside, Order, Outcome, progress
from bench.fit import percentile
from bench.processes import ProcessTree
from bench.uploads import TAGS, Sender, Uploads, commits, insert, pinned, prepare
from central_sync.app import create_token
from edge_agent.demo.children import Child
from tests.crash.rig import until
from tests.unit.central.edge import T0

_GOAL: Final = 1_000_000
_DEVICES: Final = 100
_BUNDLE: Final = 10
_POLL_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 0.02
_SHOWN_SECONDS: Final = 60
_STORED_SECONDS: Final = 60.0
_PLAIN_RUNS: Final = 3


@dataclass(frozen=True, slots=True)
class Cores:
    """One for what is measured, another, where there is one, for what loads it."""

    measured: int
    loading: int


@dataclass(slots=True)
class Reads:
    """Milliseconds that each query took."""

    latest: list[float] = field(default_factory=list)
    series: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "queries": len(self.latest) + len(self.series),
            "latest_p50_ms": round(percentile(self.latest, 0.5), 1),
            "latest_p99_ms": round(percentile(self.latest, 0.99), 1),
            "series_p50_ms": round(percentile(self.series, 0.5), 1),
            "series_p99_ms": round(percentile(self.series, 0.99), 1),
        }


@dataclass(frozen=True, slots=True)
class Ingested:
    """seconds: from the first POST until the read models had the last sample."""

    seconds: float
    rows_a_commit: int
    details: dict[str, Any]


async def run(order: Order) -> list[Outcome]:
    """The centre by itself, with queries beside it, then the same batches without a centre."""
    allowed = sorted(os.sched_getaffinity(0))
    cores = Cores(allowed[0], allowed[-1])
    parts = 2 if order.quick else 4
    with pinned(cores.loading):
        single = await _ingest(order, cores, order.seconds / parts, 1)
        bundled = await _ingest(order, cores, order.seconds / parts, _BUNDLE)
    return [*single, bundled[0]]


async def _ingest(order: Order, cores: Cores, seconds: float, bundle: int) -> list[Outcome]:
    devices = [f"dev-{index:03d}" for index in range(_DEVICES)]
    expected = _GOAL if bundle == 1 else 3 * _GOAL
    rounds = max(2, round(seconds * expected / (_DEVICES * TAGS * bundle)))
    progress(f"preparing {rounds} uploads of {bundle} batches for each of {_DEVICES} devices")
    uploads = prepare(devices, rounds, bundle)
    found = await _centre(order.directory / f"alone-{bundle}", cores, uploads, reads=False)
    details = found.details
    if not order.quick:
        with_reads = await _centre(order.directory / f"reads-{bundle}", cores, uploads, reads=True)
        details["with_queries_beside"] = with_reads.details
    details["empty_handler_samples_per_second"] = await _empty_handler(order.directory, cores, uploads)
    body = sum(map(len, uploads.batches)) / uploads.samples
    details["body_bytes_a_sample"] = round(body, 3)
    plain = [
        await asyncio.to_thread(insert, path, uploads.batches, found.rows_a_commit, cores.measured)
        for path in (order.directory / f"plain-{bundle}-{index}.db" for index in range(_PLAIN_RUNS))
    ]
    return _outcomes(uploads, found, median(plain))


async def _centre(directory: Path, cores: Cores, uploads: Uploads, *, reads: bool) -> Ingested:
    tokens = {device: create_token(directory, None, device)[0] for device in uploads.posts}
    viewer = create_token(directory, "viewer", None)[0]
    arguments = ["central_sync", "run", "--data", str(directory), "--listen", "127.0.0.1:0", "--json"]
    centre = Child("centre", [*arguments, "--log-level", "warning"], directory / "central.log")
    async with _started(centre, cores) as url, _session() as session:
        sender = Sender(url, tokens, session)
        await sender.schemas(uploads.schema)
        headers = {"Authorization": f"Bearer {viewer}"}
        asked = Reads()
        async with _beside(_query(sender, headers, uploads.bundle, asked) if reads else None):
            found = await _measure(centre, directory / "central.db", sender, uploads, headers)
        if reads:
            found.details["queries"] = asked.told()
    found.details["stored_bytes_a_sample"] = round(_stored_bytes(directory) / uploads.samples, 3)
    return found


def _stored_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("central.db*"))


@contextlib.asynccontextmanager
async def _started(child: Child, cores: Cores) -> AsyncIterator[str]:
    await child.start()
    try:
        url = (await child.ready())["url"]
        ProcessTree(child.pid).pin(cores.measured)
        yield url
    finally:
        await child.stop()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None] | None) -> AsyncIterator[None]:
    """Runs `work`, if any, until the block ends."""
    if work is None:
        yield
        return
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _measure(
    centre: Child, database: Path, sender: Sender, uploads: Uploads, headers: dict[str, str]
) -> Ingested:
    tree, own, before = ProcessTree(centre.pid), time.process_time(), commits(database)
    cpu, begin = tree.cpu_seconds(), time.perf_counter()
    await sender.run(uploads)
    answered = time.perf_counter() - begin

    async def queryable() -> bool:
        async with sender.session.get(f"{sender.url}/api/fleet/stats", headers=headers) as response:
            stats = await response.json()
        if stats["unreadable_batches"]:
            raise ValueError(f"the centre cannot read {stats['unreadable_batches']} batches")
        whole = stats["samples"] == uploads.samples
        return bool(whole and stats["read_model_arrival"] == stats["arrival"])

    await until(queryable, _STORED_SECONDS)
    seconds = time.perf_counter() - begin
    spent, own = tree.cpu_seconds() - cpu, time.process_time() - own
    rows = max(1, round(len(uploads.batches) / (commits(database) - before)))
    details = {
        "samples": uploads.samples,
        "samples_per_second": round(uploads.samples / seconds),
        "samples_per_cpu_second": round(uploads.samples / spent),
        "centre_cpu_percent": round(100 * spent / seconds, 1),
        "generator_cpu_percent": round(100 * own / seconds, 1),
        "acknowledged_samples_per_second": round(uploads.samples / answered),
        "post_p50_ms": round(percentile(sender.latencies_ms, 0.5), 1),
        "post_p99_ms": round(percentile(sender.latencies_ms, 0.99), 1),
        "rows_a_commit": rows,
        "rss_mib": round(psutil.Process(centre.pid).memory_info().rss / 2**20, 1),
    }
    return Ingested(seconds, rows, details)


async def _query(sender: Sender, headers: dict[str, str], bundle: int, reads: Reads) -> None:
    """One device after the other: its latest values, then the last minute that it sent of one tag."""
    while True:
        for number, device in enumerate(sender.tokens):
            await asyncio.sleep(_PAUSE_SECONDS)
            if device not in sender.sent:
                continue  # the centre does not know its tags yet
            base = f"{sender.url}/api/fleet/devices/{device}"
            newest = T0 + 1000 * sender.sent[device] * bundle
            window = {"from": str(newest - 1000 * _SHOWN_SECONDS), "to": str(newest)}
            reads.latest.append(await _timed(sender.session, f"{base}/latest-values", headers, {}))
            series = f"{base}/tags/t{7 * number}/timeseries"
            reads.series.append(await _timed(sender.session, series, headers, window))


async def _timed(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], query: dict[str, str]
) -> float:
    begin = time.perf_counter()
    async with session.get(url, headers=headers, params=query) as response:
        response.raise_for_status()
        await response.read()
    return 1000 * (time.perf_counter() - begin)


async def _empty_handler(directory: Path, cores: Cores, uploads: Uploads) -> int:
    """Samples a second into a server that reads the bodies and forgets them."""
    sink = Child("sink", ["bench.sink"], directory / "sink.log")
    async with _started(sink, cores) as url, _session() as session:
        begin = time.perf_counter()
        await Sender(url, dict.fromkeys(uploads.posts, "none"), session).run(uploads)
        return round(uploads.samples / (time.perf_counter() - begin))


def _outcomes(uploads: Uploads, found: Ingested, plain: float) -> list[Outcome]:
    bundle = uploads.bundle
    rate, bare = uploads.samples / found.seconds, uploads.samples / plain
    shape = (
        f"{_DEVICES} devices, each with one POST under way of {bundle} batch{'es' if bundle > 1 else ''} of "
        f"{TAGS:,} uint16 samples (random walks); the centre pinned to one core, the generator to another, "
        "synchronous=FULL; by wall time until the read models have the last sample"
    )
    beside = f"plain SQLite inserts of the same batches, {found.rows_a_commit} a commit, on the same core"
    cost, bare_cost = (1e6 * seconds / len(uploads.batches) for seconds in (found.seconds, plain))
    return [
        Outcome(
            "centre_ingest" if bundle == 1 else "centre_ingest_bundled", round(rate), "samples/s",
            f"≥ {_GOAL:,}", rate >= _GOAL, shape,
            Beside(beside, round(bare), "samples/s", round(rate / bare, 3)), found.details,
        ),
        Outcome(
            "centre_ingest_cost", round(cost, 1), "µs a batch", "", None, f"{shape}; the same as time",
            Beside(beside, round(bare_cost, 1), "µs a batch", round(cost / bare_cost, 2)),
        ),
    ]  # fmt: skip
