"""Uploads of many devices, made beforehand and sent as fast as the answers come; and the same batches put
into a plain SQLite table.

Every device has one request under way, as agents do. The values are random walks, so no body is like another.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from edge_agent.wire.batch import FramesPart
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import CONTENT_TYPE
from tests.unit.central.edge import Edge, frame, uint16_schema

TAGS: Final = 1000
_STEPS: Final = range(-20, 21)


@dataclass(frozen=True, slots=True)
class Uploads:
    """posts: bodies of each device in their order, of `bundle` batches each. batches: all of these, round by
    round."""

    schema: Schema
    bundle: int
    posts: dict[str, list[bytes]]
    batches: list[bytes]

    @property
    def samples(self) -> int:
        return len(self.batches) * TAGS


def prepare(devices: Sequence[str], rounds: int, bundle: int) -> Uploads:
    """`rounds` uploads of each device; a batch has one frame of TAGS uint16 samples."""
    chance = random.Random(1)
    schema = uint16_schema(tags=TAGS)
    edges = {name: Edge(device=name, epoch=f"e-{name}", run=f"r-{name}", schema=schema) for name in devices}
    values = {name: chance.choices(range(1 << 16), k=TAGS) for name in devices}
    posts: dict[str, list[bytes]] = {name: [] for name in devices}
    batches = []
    for _ in range(rounds):
        for name, edge in edges.items():
            items = []
            for _ in range(bundle):
                steps = chance.choices(_STEPS, k=TAGS)
                walked = [(value + step) & 0xFFFF for value, step in zip(values[name], steps, strict=True)]
                values[name] = walked
                edge.n += 1
                items.append(edge.seal([FramesPart(schema, [frame(edge.n, walked)])]))
            posts[name].append(edge.upload(*items))
            batches += [bytes(item.body) for item in items]
    return Uploads(schema, bundle, posts, batches)


@dataclass(slots=True)
class Sender:
    """Sends uploads to a centre, or to what stands in for one. sent: POSTs that each device has done."""

    url: str
    tokens: Mapping[str, str]
    session: aiohttp.ClientSession
    sent: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)

    async def schemas(self, schema: Schema) -> None:
        for device, token in self.tokens.items():
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            url = f"{self.url}/api/fleet/edge/{device}/schemas/{schema.hash}"
            async with self.session.put(url, data=schema.canonical, headers=headers) as response:
                response.raise_for_status()

    async def run(self, uploads: Uploads) -> None:
        async with asyncio.TaskGroup() as group:
            for device, bodies in uploads.posts.items():
                group.create_task(self._device(device, bodies))

    async def _device(self, device: str, bodies: Sequence[bytes]) -> None:
        url = f"{self.url}/api/fleet/edge/{device}/data"
        headers = {"Authorization": f"Bearer {self.tokens[device]}", "Content-Type": CONTENT_TYPE}
        for body in bodies:
            begin = time.perf_counter()
            async with self.session.post(url, data=body, headers=headers) as response:
                answer = orjson.loads(await response.read())
            if response.status != 200 or not answer["acked"]:
                raise ValueError(f"{device}: {response.status} {answer}")
            self.latencies_ms.append(1000 * (time.perf_counter() - begin))
            self.sent[device] = self.sent.get(device, 0) + 1


def commits(database: Path) -> int:
    """Commits so far of a database in WAL mode, from the header of its wal-index (iChange in
    https://www.sqlite.org/walformat.html), which every commit counts up."""
    with Path(f"{database}-shm").open("rb") as index:
        header = index.read(12)
    return int.from_bytes(header[8:12], sys.byteorder)


def insert(path: Path, bodies: Sequence[bytes], rows_a_commit: int, core: int) -> float:
    """Seconds to store the bodies in a table of SQLite (WAL, synchronous=FULL), in this thread on `core`."""
    with pinned(core), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE batch(arrival INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        begin = time.perf_counter()
        for start in range(0, len(bodies), rows_a_commit):
            db.execute("BEGIN IMMEDIATE")
            rows = ((body,) for body in bodies[start : start + rows_a_commit])
            db.executemany("INSERT INTO batch(body) VALUES (?)", rows)
            db.execute("COMMIT")
        return time.perf_counter() - begin


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """The calling thread, and what it starts, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
