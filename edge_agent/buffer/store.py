"""The writing side of the buffer: takes frames over, commits batches, prunes what is delivered.

One writer connection in its own thread. Every write happens under one lock: a flush, or an amendment of
the account (a loss, a change of names). A write that has begun is awaited to its end, whoever is
cancelled meanwhile. The thread gets copies; the state in memory changes after the commit.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_agent.buffer import recovery, rows, segments
from edge_agent.buffer.amendments import Amendment, Amendments
from edge_agent.buffer.database import Connection, finish, transaction
from edge_agent.buffer.errors import NotStored
from edge_agent.buffer.frames import FrameMemory
from edge_agent.buffer.ledger import Ledger
from edge_agent.buffer.recovery import Begun, Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take, seal
from edge_agent.buffer.segments import Leftovers
from edge_agent.buffer.state import BufferState, Saved, Totals
from edge_agent.contracts.clock import Clock
from edge_agent.wire.batch import EncodedBatch, Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import BufferReport, Loss
from edge_agent.wire.schema import Schema

T = TypeVar("T")

# Acknowledgements and prunes ride in an insert's transaction this often, whichever comes first.
SETTLE_FLUSHES: Final = 60
SETTLE_SECONDS: Final = 60.0
# The most that a slow medium may stretch the flush interval to.
MAX_FLUSH_SECONDS: Final = 10.0
_COMMITS_APART: Final = 20
# Delivered batches take at most this share of the quota.
_RETAINED_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What the store needs of the configuration, in seconds and bytes.

    has_sink: without a sink every batch counts as delivered, and stays as long as delivered ones do.
    """

    path: Path
    flush_seconds: float = 1.0
    max_bytes: int = 2 << 30
    retain_seconds: float = 86400.0
    has_sink: bool = True


@dataclass(frozen=True, slots=True)
class _Order:
    """One flush, as the writer's thread gets it. saved: what to settle, if that is due."""

    take: Take
    name: tuple[int, int]
    saved: Saved | None
    first_held: int
    now_ms: int
    ends_run: bool = False


_NOTHING_PRUNED: Final = rows.Pruned()


@dataclass(slots=True)
class _Flushed:
    """What one flush did in the writer's thread."""

    sealed: list[tuple[int, EncodedBatch]]
    commit_seconds: float = 0.0
    unsized: tuple[int, int] = (0, 0)
    pruned: rows.Pruned = _NOTHING_PRUNED
    oldest_ms: int | None = None


class Store:
    """Implements contracts.frames.FrameSink. `outbox.StoredOutbox` is the reading side."""

    def __init__(
        self, settings: StoreSettings, identity: Identity, frame_ring: FrameRing, clock: Clock
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.clock = clock
        self.state = BufferState(Ledger(), Totals(), settings.has_sink)
        self.memory = FrameMemory(frame_ring, clock)
        self.commits = 0
        self.stored_samples = 0
        self.recovered_frames = 0
        self.recovered_losses: list[Loss] = []
        self._ring = frame_ring
        self._writer = Connection(settings.path, writer=True, max_bytes=settings.max_bytes)
        self._lock = asyncio.Lock()
        self._news = asyncio.Condition()
        self._news_count = 0
        self._flushes_since_settle = 0
        self._settled_at = clock.monotonic()
        self._prune_more = False
        self._commit_seconds = 0.0
        self._oldest_ms: int | None = None

    # --- life ------------------------------------------------------------------------------------

    async def open(self, ring_directory: Path) -> None:
        """Opens or creates the database, begins this run, and commits what earlier runs left in the ring.

        ring_directory: the ring's own, no other agent's. Raises InUse, NewerDatabase, NotABuffer,
        sqlite3.Error, OSError.
        """
        try:
            await finish(self._writer.open())
            self._ring.open(self.identity.device)
            found, begun = await finish(self._writer.run(partial(self._begin, ring_directory)))
        except BaseException:
            await self._close_files()
            raise
        segments.clear(found)
        self.state = begun.state
        self.recovered_frames = begun.recovered_frames
        self.recovered_losses = begun.losses
        self._oldest_ms = begun.oldest_ms
        self.state.committed(self.state.ledger.current.no, begun.sealed, self.clock.monotonic())
        self.stored_samples += sum(batch.samples for _, batch in begun.sealed)
        self.commits += 1

    def _begin(self, ring_directory: Path, db: sqlite3.Connection) -> tuple[Leftovers, Begun]:
        identity = self.identity
        found = segments.find(ring_directory, identity.device, identity.boot, identity.run)
        body = partial(
            recovery.begin, db, identity, found, self.clock.wall_ms(), has_sink=self.settings.has_sink
        )
        return found, transaction(db, body)

    async def close(self) -> None:
        """Commits what is in memory, marks the run as cleanly ended, closes. Raises NotStored."""
        try:
            await finish(self._flush(settle=True, ends_run=True))
        finally:
            await self._close_files()

    async def _close_files(self) -> None:
        self._ring.close()
        await self._writer.close()

    # --- taking frames ---------------------------------------------------------------------------

    def append(self, schema: Schema, frame: Frame) -> None:
        self.memory.append(schema, frame)

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        self.memory.record(kind, record)

    async def announce(self, schemas: list[Schema]) -> None:
        """They are committed with the first frames; until then the ring keeps them. Never raises."""
        self.memory.announce(schemas)

    # --- committing ------------------------------------------------------------------------------

    @property
    def flush_seconds(self) -> float:
        """The effective flush interval: a slow medium is not asked to commit all the time."""
        return max(self.settings.flush_seconds, min(_COMMITS_APART * self._commit_seconds, MAX_FLUSH_SECONDS))

    async def run_flushes(self) -> None:
        """Commits every flush interval, or as soon as a batch is full. Raises NotStored: call it again,
        the frames stay in memory until a commit works."""
        while True:
            await self.memory.wait(self.flush_seconds)
            await self.flush()

    async def flush(self, *, settle: bool = False) -> None:
        """Commits everything taken so far. Raises NotStored, and then nothing is gone from memory."""
        await finish(self._flush(settle=settle))

    async def _flush(self, *, settle: bool, ends_run: bool = False) -> None:
        async with self._lock:
            take = self.memory.take()
            mark = self._ring.rotate()
            order = _Order(
                take,
                self.state.next_name(),
                self.state.saved() if settle or self._settle_is_due() else None,
                self.state.first_held(),
                self.clock.wall_ms(),
                ends_run,
            )
            if take.empty and order.saved is None:
                self.memory.stored(take)
                return
            try:
                done = await self._write(partial(self._flush_in_thread, order))
            except BaseException:
                self.memory.give_back(take)
                raise
            self._flushed(order, done)
            self._ring.release(mark)
        await self._tell()

    def _settle_is_due(self) -> bool:
        self._flushes_since_settle += 1
        waited = self.clock.monotonic() - self._settled_at
        due = self._flushes_since_settle >= SETTLE_FLUSHES or waited >= SETTLE_SECONDS
        return self._prune_more or (due and self.state.unsaved)

    def _flush_in_thread(self, order: _Order, db: sqlite3.Connection) -> _Flushed:
        """Batches, acknowledgements and prunes, in one transaction with one fsync."""
        batches = seal(self.identity.origin, order.take, order.now_ms)
        started = self.clock.monotonic()
        done = transaction(db, lambda: self._store(db, order, batches))
        done.commit_seconds = self.clock.monotonic() - started
        return done

    def _store(self, db: sqlite3.Connection, order: _Order, batches: list[EncodedBatch]) -> _Flushed:
        schemas = order.take.schemas.values()
        rows.insert_schemas(db, [(schema.hash, schema.canonical) for schema in schemas])
        done = _Flushed(rows.insert_batches(db, *order.name, batches))
        if order.saved is not None:
            done.unsized = rows.sizes(db, order.saved.unsized)
            order.saved.totals.release(*done.unsized)
            done.pruned = self._prune(db, order.saved, order.now_ms)
            rows.save(db, order.saved)
        if order.ends_run:
            rows.end_run(db, self.identity.run)
        done.oldest_ms = rows.select_t0(db, order.first_held)
        return done

    def _prune(self, db: sqlite3.Connection, saved: Saved, now_ms: int) -> rows.Pruned:
        totals = saved.totals
        pruned = rows.prune(
            db,
            saved.settled,
            before_ms=now_ms - int(self.settings.retain_seconds * 1000),
            excess=totals.stored_bytes - totals.pending_bytes - self.settings.max_bytes // _RETAINED_SHARE,
            keep=totals.newest,
        )
        totals.prune(pruned.batches, pruned.nbytes)
        return pruned

    def _flushed(self, order: _Order, done: _Flushed) -> None:
        self.memory.stored(order.take)
        self._commit_seconds = done.commit_seconds
        self._oldest_ms = done.oldest_ms
        if order.saved is not None:
            self.state.totals.prune(done.pruned.batches, done.pruned.nbytes)
            self.state.was_saved(order.saved, done.unsized)
            self._prune_more = done.pruned.more
            self._flushes_since_settle = 0
            self._settled_at = self.clock.monotonic()
        self.state.committed(order.name[0], done.sealed, self.clock.monotonic())
        self.stored_samples += sum(batch.samples for _, batch in done.sealed)
        self.commits += 1

    async def amend(self, prepare: Callable[[Amendments], Amendment | None]) -> None:
        """Changes the account in one transaction of its own. Raises NotStored, and then nothing changed."""
        await finish(self._amend(prepare))

    async def _amend(self, prepare: Callable[[Amendments], Amendment | None]) -> None:
        async with self._lock:
            amendment = prepare(Amendments(self.state, self.identity, self.clock))
            if amendment is None:
                return
            self.state.frozen = amendment.frozen
            try:
                written = await self._write(lambda db: transaction(db, partial(amendment.body, db)))
            finally:
                self.state.frozen = (0, [])
            if written is None:
                return
            amendment.applied(written)
            self.commits += 1
        await self._tell()

    async def _write(self, body: Callable[[sqlite3.Connection], T]) -> T:
        """Calls `body` in the writer's thread. Raises NotStored. The caller holds the lock."""
        try:
            return await self._writer.run(body)
        except sqlite3.Error as error:
            raise NotStored(f"{self.settings.path}: {error}") from error

    # --- telling ---------------------------------------------------------------------------------

    async def wait_for_news(self, seen: int) -> int:
        """Counts the changes of what there is to send; returns as soon as the count is not `seen`."""
        async with self._news:
            await self._news.wait_for(lambda: self._news_count != seen)
        return self._news_count

    async def _tell(self) -> None:
        async with self._news:
            self._news_count += 1
            self._news.notify_all()

    def report(self) -> BufferReport:
        totals = self.state.totals
        pending = self.state.ledger.held_count()
        return BufferReport(
            pending_batches=pending,
            pending_bytes=max(0, totals.pending_bytes) if pending else 0,
            pending_samples=max(0, totals.pending_samples) if pending else 0,
            size_bytes=totals.stored_bytes,
            quota_bytes=self.settings.max_bytes,
            oldest_pending=self._oldest_ms if pending else None,
            uncommitted_frames=self.memory.frame_count,
            uncommitted_age_seconds=self.memory.age_seconds,
            flush_interval_seconds=self.flush_seconds,
            commits=self.commits,
        )
