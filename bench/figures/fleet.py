"""How many agents one core of the centre holds: heartbeats and config polls, then samples too."""

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import psutil

from bench.agents import Agent, buffer_of, schema_of
from bench.figure import Beside, Order, Outcome
from bench.fit import percentile
from bench.fleet import Fleet, Kind, Plan
from bench.machine import ROOT
from bench.processes import ProcessTree
from bench.uploads import commits, pinned
from central_sync.app import create_token
from central_sync.services.access.tokens import mint
from central_sync.services.configs.service import make_row
from central_sync.services.devices.standing import standing
from edge_agent.demo.children import Child
from edge_agent.wire.messages import Heartbeat

P99_SECONDS: Final = 1.0
SCRATCH: Final = ROOT / "build" / "bench"
GOAL: Final = 50_000
# That also send samples: what held on the machine of docs/performance.md.
SENDING: Final = 2_000
# The agents come one after the other, so many a second; the measured time begins when all have.
_NEW_A_SECOND: Final = 2_000
_SETTLE_SECONDS: Final = 12.0
_WINDOWS: Final = 5
_FLOOR_SECONDS: Final = 10.0


@dataclass(slots=True)
class Window:
    """What the centre used since the measured time began, about once a second."""

    tree: ProcessTree
    at: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def tick(self, seconds: float) -> None:
        if seconds >= 0:
            self.at.append(time.perf_counter())
            self.cpu.append(self.tree.cpu_seconds())

    def cores(self) -> float:
        """CPU seconds a second, the median of equal parts of the time."""
        ends = [round(index * (len(self.at) - 1) / _WINDOWS) for index in range(_WINDOWS + 1)]
        parts = [
            (self.cpu[hi] - self.cpu[lo]) / (self.at[hi] - self.at[lo])
            for lo, hi in itertools.pairwise(ends)
            if hi > lo
        ]
        return median(parts)


@dataclass(frozen=True, slots=True)
class Held:
    """One run. cores: CPU seconds of the centre a second."""

    agents: int
    cores: float
    rate: float
    p99: float
    errors: dict[str, int]
    details: dict[str, Any]

    @property
    def holds(self) -> bool:
        return self.p99 <= P99_SECONDS and not self.errors


async def measure(directory: Path, agents: int, plan: Plan, seconds: float) -> Held:
    """A centre with this fleet on one core, the generator on the other."""
    allowed = sorted(os.sched_getaffinity(0))
    fleet = await asyncio.to_thread(_enrol, directory, agents, plan)
    centre = Child(
        "centre",
        ["central_sync", "run", "--data", str(directory), "--listen", "127.0.0.1:0", "--json", "--log-level",
         "warning"],
        directory / "central.log",
    )  # fmt: skip
    with pinned(allowed[0]):
        await centre.start()
    try:
        host, _, port = (await centre.ready())["url"].removeprefix("http://").rpartition(":")
        with pinned(allowed[-1]):
            return await asyncio.to_thread(_drive, (host, int(port)), fleet, plan, seconds, centre, directory)
    finally:
        await centre.stop()


async def floor(directory: Path, agents: int, plan: Plan, seconds: float) -> float:
    """CPU µs a request of a server that reads nothing and answers all the same (bench/bare.py), from the same
    generator and on the same core: what the kernel and the event loop take."""
    allowed = sorted(os.sched_getaffinity(0))
    bare = Child("bare", ["bench.bare"], directory / "bare.log")
    with pinned(allowed[0]):
        await bare.start()
    try:
        port = int((await bare.ready())["port"])
        fleet = [Agent(n, f"plant-000-gateway-{n:05d}", "hf_000000000000_" + "a" * 43, "e" * 32)
                 for n in range(agents)]  # fmt: skip
        window = Window(ProcessTree(bare.pid))
        sender = Fleet(("127.0.0.1", port), fleet, plan)
        with pinned(allowed[-1]):
            await asyncio.to_thread(sender.run, 1.0, 3.0, seconds, window.tick)
        answered = sum(len(times) for times in sender.told.seconds.values())
        return 1e6 * window.cores() * seconds / answered
    finally:
        await bare.stop()


def _enrol(directory: Path, agents: int, plan: Plan) -> list[Agent]:
    """Devices, credentials and configs, put into the database at once."""
    create_token(directory, "viewer", None)
    now = time.time_ns() // 1_000_000
    fleet: list[Agent] = []
    schema = schema_of(plan.samples)
    with contextlib.closing(sqlite3.connect(directory / "central.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        for number in range(agents):
            name = f"plant-{number // 500:03d}-gateway-{number:05d}"
            sections = orjson.dumps({"connections": _connections(name)}, option=orjson.OPT_SORT_KEYS)
            config = make_row(1, sections, "bench", now)
            text, token = mint(None, name, now)
            db.execute(
                "INSERT INTO device (no, id, created, state_since, config_version, config_etag) "
                "VALUES (?, ?, ?, ?, 1, ?)",
                (number + 1, name, now, now, config.etag),
            )
            agent = Agent(number, name, "", config.etag)
            agent.edge = buffer_of(number, name, schema) if plan.upload_interval else None
            _was_heard(db, number + 1, agent, now)
            db.execute(
                "INSERT INTO token (id, digest, device, created) VALUES (?, ?, ?, ?)",
                (token.id, token.digest, name, now),
            )
            db.execute(
                "INSERT INTO config (device_no, version, etag, body, author, created) "
                "VALUES (?, 1, ?, ?, ?, ?)",
                (number + 1, config.etag, config.body, "bench", now),
            )
            agent.token = text
            fleet.append(agent)
        db.execute("COMMIT")
    return fleet


def _was_heard(db: sqlite3.Connection, no: int, agent: Agent, now: int) -> None:
    """As a heartbeat left it, some seconds before the centre was started anew."""
    body = agent.heartbeat().partition(b"\r\n\r\n")[2]
    message = Heartbeat.model_validate_json(body)
    db.execute(
        "UPDATE device SET state = 'online', last_seen = ?, heartbeat = ?, run = ?, interval_seconds = 30, "
        "clock_offset = 0, standing = ? WHERE no = ?",
        (now, body, message.run, standing(message), no),
    )
    for head in message.heads:
        db.execute(
            "INSERT INTO epoch (device_no, id, ordinal, run) VALUES (?, ?, ?, ?)",
            (no, head.epoch, head.no, head.run),
        )


def _connections(device: str) -> list[dict[str, Any]]:
    tags = [{"name": f"t{n:02d}", "address": f"holding:{100 + n}", "type": "uint16"} for n in range(20)]
    return [
        {"name": f"{device}-press{n}", "driver": "modbus",
         "transport": {"type": "tcp", "host": f"192.0.2.{n}", "port": 502},
         "groups": [{"name": "fast", "interval": "1s", "tags": tags}]}
        for n in (1, 2, 3)
    ]  # fmt: skip


def _drive(
    address: tuple[str, int],
    fleet: Sequence[Agent],
    plan: Plan,
    seconds: float,
    centre: Child,
    directory: Path,
) -> Held:
    gc.collect()
    gc.freeze()
    gc.disable()
    tree = ProcessTree(centre.pid)
    if plan.upload_interval:
        Fleet(address, fleet, plan).prepare(Kind.SCHEMA, fleet)
    window = Window(tree)
    database = directory / "central.db"
    sender = Fleet(address, fleet, plan)
    before: dict[str, int] = {}

    def tick(passed: float) -> None:
        if passed >= 0 and not before:
            before.update(written=tree.written_bytes(), commits=commits(database))
        window.tick(passed)

    ramp = max(len(fleet) / _NEW_A_SECOND, plan.heartbeat_interval)
    try:
        sender.run(ramp, ramp + min(_SETTLE_SECONDS, 5 * plan.heartbeat_interval), seconds, tick)
    finally:
        gc.enable()
    memory = psutil.Process(centre.pid).memory_info()
    told = sender.told
    times = {kind: told.seconds[kind] for kind in Kind if told.seconds[kind]}
    everything = [value for each in times.values() for value in each]
    rate = len(everything) / seconds
    details: dict[str, Any] = {
        "agents": len(fleet),
        "requests_per_second": round(rate, 1),
        "cpu_microseconds_a_request": round(1e6 * window.cores() / rate, 1) if rate else None,
        "latency_ms": {kind.name.lower(): _latency(values) for kind, values in times.items()},
        "generator_lag_p99_ms": _ms(percentile(told.lag, 0.99)) if told.lag else None,
        "errors": dict(told.errors),
        "errors_while_coming": dict(told.early),
        "most_connections": told.most_open,
        "connects": told.connects,
        "rss_mib": round(memory.rss / 2**20, 1),
        "pss_mib": round(tree.pss_bytes() / 2**20, 1),
        "database_mib": round(database.stat().st_size / 2**20, 1),
        "wal_mib": round(Path(f"{database}-wal").stat().st_size / 2**20, 1),
        "written_mib_a_second": round((tree.written_bytes() - before["written"]) / seconds / 2**20, 2),
        "commits_per_second": round((commits(database) - before["commits"]) / seconds, 1),
    }
    p99 = percentile(everything, 0.99) if everything else float("inf")
    return Held(len(fleet), round(window.cores(), 3), round(rate, 1), p99, dict(told.errors), details)


def _latency(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": _ms(percentile(values, 0.5)),
        "p99": _ms(percentile(values, 0.99)),
        "max": _ms(max(values)),
    }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


async def run(order: Order) -> list[Outcome]:
    """Short: a few agents on short intervals, so that the cost of a request is known. Long: the goal, with a
    connection a request and with connections that are kept, then agents that send samples."""
    if order.quick:
        plan = Plan(heartbeat_interval=2.0, poll_interval=4.0)
        bare = await floor(order.directory, 400, plan, order.seconds / 2)
        return [_cost(await measure(order.directory / "idle", 400, plan, order.seconds), bare)]
    idle = await measure(order.directory / "idle", GOAL, Plan(), order.seconds)
    kept = await measure(order.directory / "kept", GOAL, Plan(linger=4.0), order.seconds)
    bare = await floor(order.directory, 2_000, Plan(heartbeat_interval=2.0, poll_interval=4.0), 20.0)
    idle.details["with_kept_connections"] = {"cores": kept.cores, **kept.details}
    found = [_outcome("fleet", idle, "heartbeat 30 s, config poll 60 s"), _cost(idle, bare)]
    samples = Plan(upload_interval=10.0, linger=15.0)
    sending = await measure(order.directory / "samples", SENDING, samples, order.seconds)
    return [*found, _outcome("fleet_samples", sending, "the same, and 200 samples every 10 s")]


def _outcome(name: str, held: Held, how: str) -> Outcome:
    """Agents that were held; 0 where they were not."""
    goal = f"{GOAL:,}, p99 ≤ 1 s, no errors" if name == "fleet" else ""
    met = held.holds and held.agents >= GOAL if goal else None
    return Outcome(
        name, held.agents if held.holds else 0, "agents", goal, met,
        f"{how}; the centre on one core, the generator on another, synchronous=FULL; each latency counts "
        "from the moment at which the request was due; connections from 24 addresses of loopback",
        None, {"cores": held.cores, **held.details},
    )  # fmt: skip


def _cost(held: Held, bare: float) -> Outcome:
    """CPU of a request, beside that of one to a server that reads nothing."""
    cost = 1e6 * held.cores / held.rate
    return Outcome(
        "fleet_cost", round(cost, 1), "µs of CPU a request", "", None,
        "two heartbeats to one config poll, a connection a request, kernel included",
        Beside("a bare uvloop server, same generator", round(bare, 1), "µs of CPU", round(cost / bare, 2)),
        held.details,
    )  # fmt: skip


def command(words: Sequence[str]) -> int:
    """`python -m bench fleet`. Exit code 1: it does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=__doc__)
    parser.add_argument("--agents", type=int, default=GOAL)
    parser.add_argument("--for", dest="seconds", type=duration, default=120.0, metavar="120s")
    parser.add_argument("--samples", type=int, help="that each agent also sends")
    parser.add_argument("--every", type=duration, default=10.0, metavar="10s")
    parser.add_argument("--linger", type=duration, default=0.0, metavar="0s",
                        help="how long an agent keeps a connection; at most 15,000 are open")  # fmt: skip
    args = parser.parse_args(words)
    plan = Plan(upload_interval=args.every if args.samples else None, samples=args.samples or 200,
                linger=args.linger)  # fmt: skip
    SCRATCH.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="fleet-", dir=SCRATCH))
    brisk = Plan(heartbeat_interval=2.0, poll_interval=4.0)
    bare = asyncio.run(floor(directory, 1_000, brisk, _FLOOR_SECONDS))
    held = asyncio.run(measure(directory, args.agents, plan, args.seconds))
    shutil.rmtree(directory)
    told = {
        "holds": held.holds, "cores": held.cores, "load": os.getloadavg()[0],
        "bare_server_microseconds": round(bare, 1), **held.details,
    }  # fmt: skip
    print(orjson.dumps(told).decode())
    return 0 if held.holds else 1


def duration(text: str) -> float:
    """Seconds, of `120s` or `120`."""
    return float(text.removesuffix("s"))
