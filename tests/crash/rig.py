"""A whole Holdfast of real processes for the crash tests, and the judge of what arrived.

The judge reads the centre's database and decodes every batch itself: it believes no counter. The values
are checked against the simulator's formula for a holding register, written here once more:
`(7 k + 31 address) mod 65536` at tick k.
"""

import asyncio
import contextlib
import socket
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from edge_agent.contracts.errors import NotConnected
from edge_agent.demo.centre import Account, CentreApi
from edge_agent.demo.children import Child, output_of
from edge_agent.web.client import LocalClient
from edge_agent.wire.batch import Batch
from edge_agent.wire.ranges import Ranges, size, subtract, union
from edge_agent.wire.schema import Schema

DEVICE = "rig"
TICK_MS = 1000
# A frame of 1,000 registers is eight requests: each block may see another tick than the last one.
BLOCK = 125
TOLERANCE_TICKS = 3
STEP, SLOPE, MODULUS = 7, 31, 1 << 16

Run = tuple[str, str]  # (run of the agent, connection)


@dataclass
class Judgement:
    """What the centre really has."""

    batches: int = 0
    frames: int = 0
    framed: int = 0
    read: int = 0
    suppressed: int = 0
    bad_frames: int = 0
    wrong_rows: int = 0
    doubled: int = 0
    samples: dict[Run, int] = field(default_factory=dict)
    numbers: dict[Run, Ranges] = field(default_factory=dict)

    def holes(self) -> list[str]:
        """Frame numbers that are missing below the last one of their run and connection."""
        return [
            f"{run}: {missing}"
            for run, numbers in self.numbers.items()
            if (missing := subtract([(1, numbers[-1][1])], numbers))
        ]

    def summary(self) -> str:
        return (
            f"{self.batches} batches, {self.frames} frames, {self.framed} samples of {len(self.numbers)} "
            f"(run, connection); wrong {self.wrong_rows}, bad {self.bad_frames}, doubled {self.doubled}"
        )


class Rig:
    """Simulator, centre and agent; `async with` ends them all."""

    def __init__(self, directory: Path, connections: int, tags: int, interval: str = "1s") -> None:
        self._directory = directory
        self._connections = connections
        self._tags = tags
        self._interval = interval
        self._runtime = Path(tempfile.mkdtemp(prefix="holdfast-rig-", dir="/dev/shm"))
        self._config = directory / "edge-agent.yaml"
        self._simulator: Child | None = None
        self.central_database = directory / "central" / "central.db"
        self.agent = Child("agent", ["edge_agent", "run", "-c", str(self._config)], directory / "agent.log")
        self.centre: Child
        self.api: CentreApi

    async def __aenter__(self) -> Self:
        data = str(self._directory / "central")
        token = await output_of("central_sync", "token", "create", "--data", data, "--device", DEVICE)
        operator = await output_of("central_sync", "token", "create", "--data", data, "--role", "operator")
        self._simulator = Child(
            "simulator",
            [
                "edge_agent", "simulate", "modbus", "--json",
                "--ports", str(self._connections), "--tick-ms", str(TICK_MS),
            ],
            self._directory / "simulator.log",
        )  # fmt: skip
        await self._simulator.start()
        ports = (await self._simulator.ready())["ports"]
        port = free_port()
        self.centre = Child(
            "centre",
            ["central_sync", "run", "--data", data, "--listen", f"127.0.0.1:{port}", "--json"],
            self._directory / "central.log",
        )
        self.api = CentreApi(f"http://127.0.0.1:{port}", operator, DEVICE)
        self._config.write_text(yaml.safe_dump(self._document(f"http://127.0.0.1:{port}", token, ports)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in (self.agent, self.centre, self._simulator):
            if child is not None:
                await child.stop()
        for path in self._runtime.glob("*"):
            path.unlink()
        self._runtime.rmdir()

    def _document(self, url: str, token: str, ports: list[int]) -> dict[str, Any]:
        last = self._tags - 1
        tags = [{"name": f"t[0..{last}]", "address": f"holding:0..{last}", "type": "uint16"}]
        return {
            "agent": {"id": DEVICE, "runtime_dir": str(self._runtime)},
            "central": {"url": url, "token": token, "heartbeat_interval": "2s"},
            "buffer": {"path": "buffer.db"},
            "connections": [
                {
                    "name": f"plc{index:02d}",
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": port},
                    "groups": [{"name": "all", "interval": self._interval, "tags": tags}],
                }
                for index, port in enumerate(ports)
            ],
        }

    async def start_centre(self) -> None:
        await self.centre.start()
        await self.centre.ready()

    async def start_agent(self) -> None:
        await self.agent.start()

    async def run_with_kills(self, seconds: float, every: float) -> dict[Run, int]:
        """Kills centre and agent in turn. Returns the samples that the agent had framed before each of its
        kills, by run and connection: all of them must arrive."""
        promised: dict[Run, int] = {}
        end = time.monotonic() + seconds
        kills = 0
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(every, left))
            if time.monotonic() >= end:
                break
            if kills % 2 == 0:
                await self.note_promises(promised)
                await self.agent.kill()
                await self.agent.start()
            else:
                await self.centre.kill()
                await self.start_centre()
            kills += 1
        await self.note_promises(promised)
        return promised

    async def note_promises(self, promised: dict[Run, int]) -> None:
        client = LocalClient(self._runtime / "agent.sock")
        status = await asyncio.to_thread(client.status)
        for entry in status.accounting:
            promised[status.run, entry.connection] = entry.framed

    async def agent_answers(self) -> bool:
        with contextlib.suppress(NotConnected):
            await asyncio.to_thread(LocalClient(self._runtime / "agent.sock").status)
            return True
        return False

    async def settled(self, seconds: float = 60) -> Account:
        """The centre's account once nothing is pending any more."""

        async def nothing_pending() -> bool:
            return (await self.api.account()).pending == 0

        await until(nothing_pending, seconds)
        return await self.api.account()

    async def judged(self) -> Judgement:
        return await asyncio.to_thread(judge, self.central_database, self._tags)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Waits for a condition with a deadline; how long it took. Errors of a centre that is away are no."""
    begin = time.monotonic()
    while True:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            if await condition():
                return time.monotonic() - begin
        assert time.monotonic() - begin < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.05)


def judge(database: Path, tags: int) -> Judgement:
    """Decodes every batch that the centre stores."""
    found = Judgement()
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(bytes(body)) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        for codec, raw, body in db.execute("SELECT codec, raw, body FROM batch ORDER BY arrival"):
            found.batches += 1
            batch = Batch.open(body, codec, raw)
            for index, entry in enumerate(batch.sections):
                if entry["k"] == "frames":
                    _judge_section(found, batch, index, schemas[entry["s"]], tags)
    return found


def _judge_section(found: Judgement, batch: Batch, index: int, schema: Schema, tags: int) -> None:
    run = (batch.origin.run, schema.connection)
    # Rows are in schema order, which for equal types is that of the config: t0, t1, …
    assert [tag.name for tag in schema.tags] == [f"t{number}" for number in range(tags)]
    for frame in batch.frames(index, schema):
        known = found.numbers.get(run, [])
        found.numbers[run] = union(known, [(frame.n, frame.n)])
        if size(found.numbers[run]) == size(known):
            found.doubled += 1
        found.frames += 1
        found.framed += frame.samples
        found.read += frame.read
        found.suppressed += frame.suppressed
        found.samples[run] = found.samples.get(run, 0) + frame.samples
        if frame.quality:
            found.bad_frames += 1
        elif not row_is_right(frame.row, frame.wall_ms):
            found.wrong_rows += 1


def row_is_right(row: bytes, wall_ms: int) -> bool:
    """Whether each block of the row is the formula's at some tick at or shortly before the frame's time."""
    values = array("H", row)
    values.byteswap()
    newest = wall_ms // TICK_MS
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        ticks = range(newest - TOLERANCE_TICKS, newest + 1)
        if not any(block == expected_block(start, len(block), tick) for tick in ticks):
            return False
    return True


def expected_block(start: int, count: int, tick: int) -> "array[int]":
    return array("H", ((STEP * tick + SLOPE * (start + at)) % MODULUS for at in range(count)))


def free_port() -> int:
    """A port for the centre, which must come back on the same one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
