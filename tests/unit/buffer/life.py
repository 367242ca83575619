"""An agent's buffer through several lives: started, killed, stopped in order, and looked into.

Killing inside one process: whatever a dead process would not have done any more is not done, and what
the kernel does for a dead process (close its files, give up its locks) is. tests/crash does it for real.
"""

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.buffer.ledger import split_id
from edge_agent.buffer.outbox import StoredOutbox
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.store import Store
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Loss
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema, TagSchema, ValueType

WHOLE: Ranges = [(1, 1 << 39)]
ALL_BYTES = 1 << 40


def schema(connection: str = "press1", group: str = "fast", tags: int = 4) -> Schema:
    names = [TagSchema(f"t{index}", ValueType.UINT16) for index in range(tags)]
    return Schema.of(connection, group, 1, names)


def frame(n: int, tags: int = 4, *, suppressed: int = 0, wall_ms: int = 1_767_225_600_000) -> Frame:
    """A dense frame whose values tell its number. suppressed: samples of cycles that made no frame."""
    row = b"".join(((n + index) & 0xFFFF).to_bytes(2, "little") for index in range(tags))
    return Frame(n, n * 1_000_000_000, wall_ms + n * 1000, row, tags + suppressed, suppressed)


@dataclass(frozen=True)
class StoredBatch:
    """A row of the batch table, opened."""

    epoch_no: int
    seq: int
    hash: bytes
    samples: int
    nbytes: int
    batch: Batch

    @property
    def losses(self) -> list[Loss]:
        return [Loss.model_validate(record) for record in self.batch.records(Kind.LOSS)]


class Contents:
    """What a database holds, read with nothing of the buffer's own code but the batch format."""

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            self.schemas = {
                name: Schema.from_bytes(body) for name, body in db.execute("SELECT hash, body FROM schema")
            }
            self.batches = [
                StoredBatch(*split_id(key), digest, samples, len(body), Batch.open(body, codec, raw))
                for key, codec, raw, samples, digest, body in db.execute(
                    "SELECT id, codec, raw, samples, hash, body FROM batch ORDER BY id"
                )
            ]
            self.epochs: dict[int, str] = dict(db.execute("SELECT no, id FROM epoch"))
            self.why: list[str] = [why for (why,) in db.execute("SELECT why FROM epoch ORDER BY no")]

    def frames(self) -> Counter[tuple[str, str, str, int]]:
        """How often each frame, as (run, connection, group, n), is in the database."""
        return Counter(self._frames())

    def _frames(self) -> Iterator[tuple[str, str, str, int]]:
        for stored in self.batches:
            for index, entry in enumerate(stored.batch.sections):
                if entry["k"] == "frames":
                    described = self.schemas[entry["s"]]
                    for each in stored.batch.frames(index, described):
                        yield stored.batch.origin.run, described.connection, described.group, each.n

    @property
    def losses(self) -> list[Loss]:
        return [loss for stored in self.batches for loss in stored.losses]


@dataclass
class Life:
    """One machine's directory, and the agents that ran on it one after the other."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    device: str = "press-shop-01"
    boot: str = "b001"
    machine: str = "m1"
    runs: int = 0

    @property
    def database(self) -> Path:
        return self.directory / "buffer.db"

    @property
    def runtime(self) -> Path:
        return self.directory / "run"

    async def start(
        self,
        *,
        max_bytes: int = 2 << 30,
        retain_seconds: float = 86400.0,
        has_sink: bool = True,
        flush_seconds: float = 1.0,
        ring_bytes: int = 64 << 20,
        drop_oldest: bool = True,
    ) -> "Agent":
        self.runs += 1
        identity = Identity(self.device, f"r{self.runs:03d}", self.boot, self.machine)
        settings = StoreSettings(
            self.database, flush_seconds, max_bytes, retain_seconds, has_sink, drop_oldest=drop_oldest
        )
        ring = FrameRing(self.runtime, self.boot, identity.run, ring_bytes)
        store = Store(settings, identity, ring, self.clock)
        await store.open(self.runtime)
        return Agent(store, ring, StoredOutbox(store))

    def reboot(self, *, keeps_runtime: bool = False) -> None:
        self.boot = f"b{int(self.boot[1:]) + 1:03d}"
        if not keeps_runtime:
            self.lose_runtime()

    def lose_runtime(self) -> None:
        for path in self.runtime.glob("*"):
            path.unlink()

    def segments(self) -> list[Path]:
        return sorted(self.runtime.glob("ring-*"))

    async def contents(self) -> Contents:
        return await asyncio.to_thread(Contents, self.database)

    async def sql(self, statement: str, *parameters: Iterable[object]) -> list[tuple[Any, ...]]:
        """Somebody else's hand in the database: one statement, committed; once for each of `parameters`."""
        return await asyncio.to_thread(self._sql, statement, parameters)

    def _sql(self, statement: str, parameters: Sequence[Iterable[object]]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as db:
            found = [row for each in parameters or ((),) for row in db.execute(statement, tuple(each))]
            db.commit()
        return found


@dataclass
class Agent:
    """One life: the store and its outbox."""

    store: Store
    ring: FrameRing
    outbox: StoredOutbox

    @property
    def run(self) -> str:
        return self.store.identity.run

    async def kill(self) -> None:
        """As SIGKILL would: nothing is committed, nothing tidied up."""
        await self.outbox.close()
        await self.store._writer.close()
        if self.ring._fd is not None:
            os.close(self.ring._fd)
            self.ring._fd = None
        assert self.ring._lock is not None
        self.ring._lock.release()

    async def stop(self) -> None:
        await self.outbox.close()
        await self.store.close()

    async def put(self, described: Schema, *numbers: int, suppressed: int = 0) -> None:
        """Announces and appends frames with these numbers."""
        await self.store.announce([described])
        for n in numbers:
            self.store.append(described, frame(n, len(described.tags), suppressed=suppressed))

    async def commit(self, described: Schema, *numbers: int) -> None:
        """One batch of these frames."""
        await self.put(described, *numbers)
        await self.store.flush()

    def held(self) -> dict[int, Ranges]:
        return {head.no: ranges.coalesce(head.held) for head in self.outbox.heads() if head.held}
