"""The writing side of the buffer: takes frames over, commits batches, prunes what is delivered.

One writer connection in its own thread. Every write happens under one lock: a flush, the schemas of a new
config, a loss, a change of names.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_agent.buffer import recovery, ring, rows
from edge_agent.buffer.database import Connection, transaction
from edge_agent.buffer.errors import NotStored
from edge_agent.buffer.frames import FrameMemory
from edge_agent.buffer.ledger import Ledger, WrittenOff, batch_id
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.seal import Take, seal
from edge_agent.buffer.state import BufferState, Saved, Totals
from edge_agent.contracts.clock import Clock
from edge_agent.wire.batch import EncodedBatch, Kind, Origin
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import BufferReport, Loss
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema

T = TypeVar("T")

# Acknowledgements and prunes ride in an insert's transaction this often, whichever comes first.
SETTLE_FLUSHES: Final = 60
SETTLE_SECONDS: Final = 60.0
MAX_FLUSH_SECONDS: Final = 10.0
# Delivered batches take at most this share of the quota.
_RETAINED_SHARE: Final = 4
_KEPT_RUNS: Final = 100


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


@dataclass(slots=True)
class _Flushed:
    """What one flush did in the writer's thread."""

    sealed: list[tuple[int, EncodedBatch]]
    pruned_batches: int = 0
    pruned_bytes: int = 0
    oldest: int | None = None


class Store:
    """Implements contracts.frames.FrameSink. `outbox.StoredOutbox` is the reading side."""

    def __init__(
        self, settings: StoreSettings, identity: Identity, frame_ring: FrameRing, clock: Clock
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.clock = clock
        self.state = BufferState(Ledger(), Totals(), [])
        self.memory = FrameMemory(frame_ring, clock)
        self.commits = 0
        self.recovered_frames = 0
        self.recovered_loss: Loss | None = None
        self._ring = frame_ring
        self._writer = Connection(settings.path, writer=True, max_bytes=settings.max_bytes)
        self._lock = asyncio.Lock()
        self._news = asyncio.Condition()
        self._flushes_since_settle = 0
        self._settled_at = clock.monotonic()
        self._commit_seconds = 0.0
        self._oldest: int | None = None

    # --- life ------------------------------------------------------------------------------------

    async def open(self, ring_directory: Path) -> None:
        """Opens or creates the database, begins this run, and commits what earlier runs left in the ring.

        Raises NewerDatabase, sqlite3.Error, OSError.
        """
        await self._writer.open()
        leftovers = ring.leftovers(ring_directory, self.identity.boot)
        self.state, sealed = await self._writer.run(
            lambda db: transaction(db, partial(self._begin_run, db, leftovers))
        )
        for path in leftovers:
            path.unlink(missing_ok=True)
        self._ring.open()
        self._note_committed(sealed)

    def _begin_run(
        self, db: sqlite3.Connection, leftovers: Sequence[Path]
    ) -> tuple[BufferState, list[tuple[int, EncodedBatch]]]:
        now = self.clock.wall_ms()
        ledger = rows.load_ledger(db)
        totals = rows.load_totals(db)
        loss = recovery.unclean_stop(db, self.identity, now)
        why = recovery.reason_for_new_epoch(ledger, self.identity)
        if why is not None:
            epoch = recovery.next_epoch(ledger, self.identity)
            rows.insert_epoch(db, epoch, why)
            ledger.epochs[epoch.no] = epoch
        frames = recovery.uncommitted_frames(db, leftovers)
        batches = recovery.seal_leftovers(db, self.identity, frames, now)
        if loss is not None:
            batches.append(recovery.seal_loss(self.identity, loss, now))
        sealed = list(enumerate(batches, ledger.current.next_seq))
        for seq, batch in sealed:
            rows.insert_batch(db, batch_id(ledger.current.no, seq), batch)
        rows.begin_run(db, self.identity.run, self.identity.boot, now, _KEPT_RUNS)
        self.recovered_loss = loss
        self.recovered_frames = sum(len(entries) for entries in frames.values())
        return BufferState(ledger, totals, rows.select_urgent(db, ledger.current.no)), sealed

    async def close(self) -> None:
        """Commits what is in memory, marks the run as cleanly ended, closes. Raises NotStored."""
        try:
            await self.flush(settle=True)
            await self.write(partial(rows.end_run, run=self.identity.run))
        finally:
            self._ring.close()
            await self._writer.close()

    # --- taking frames ---------------------------------------------------------------------------

    def append(self, schema: Schema, frame: Frame) -> None:
        self.memory.append(schema, frame)

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        self.memory.record(kind, record)

    async def announce(self, schemas: list[Schema]) -> None:
        """One transaction for all of them. Raises NotStored."""
        async with self._lock:
            await self.write(lambda db: rows.insert_schemas(db, schemas))

    # --- committing ------------------------------------------------------------------------------

    @property
    def flush_seconds(self) -> float:
        """The effective flush interval: a slow medium is not asked to commit all the time."""
        return min(max(20 * self._commit_seconds, self.settings.flush_seconds), MAX_FLUSH_SECONDS)

    async def run_flushes(self) -> None:
        """Commits every flush interval, or as soon as a batch is full. Raises NotStored: call it again,
        the frames stay in memory until a commit works."""
        while True:
            await self.memory.wait(self.flush_seconds)
            await self.flush()

    async def flush(self, *, settle: bool = False) -> None:
        """Commits everything taken so far. Raises NotStored, and then nothing is gone from memory."""
        async with self._lock:
            take = self.memory.take()
            mark = self._ring.rotate()
            settle = settle or self._settle_is_due()
            if take.empty and not settle:
                self._ring.release(mark)
                return
            started = self.clock.monotonic()
            saved = self.state.saved() if settle else None
            first = self.state.first_held()
            try:
                done = await self.write(lambda db: self._flush_in_thread(db, take, saved, first))
            except NotStored:
                self.memory.give_back(take)
                raise
            self._commit_seconds = self.clock.monotonic() - started
            self._ring.release(mark)
            self.memory.stored(take)
            self.state.totals.pruned(done.pruned_batches, done.pruned_bytes)
            self._oldest = done.oldest
            if settle:
                self._flushes_since_settle = 0
                self._settled_at = self.clock.monotonic()
                self.state.unsaved = False
            self._note_committed(done.sealed)
        await self.tell_waiters()

    def _settle_is_due(self) -> bool:
        self._flushes_since_settle += 1
        waited = self.clock.monotonic() - self._settled_at
        return (self.state.unsaved or not self.settings.has_sink) and (
            self._flushes_since_settle >= SETTLE_FLUSHES or waited >= SETTLE_SECONDS
        )

    def _flush_in_thread(
        self, db: sqlite3.Connection, take: Take, saved: Saved | None, first_held: int
    ) -> _Flushed:
        """Batches, acknowledgements and prunes, in one transaction with one fsync."""
        origin = Origin(self.identity.device, self.identity.run, self.identity.boot)
        epoch = self.state.ledger.current
        done = _Flushed(list(enumerate(seal(origin, take, self.clock.wall_ms()), epoch.next_seq)))
        for seq, batch in done.sealed:
            rows.insert_batch(db, batch_id(epoch.no, seq), batch)
        if saved is not None:
            self._prune(db, saved, done)
            rows.save_settled(db, saved)
        done.oldest = rows.select_t0(db, first_held)
        return done

    def _prune(self, db: sqlite3.Connection, saved: Saved, done: _Flushed) -> None:
        totals = saved.totals
        if self.settings.has_sink:
            settled, retained = saved.settled, totals.stored_bytes - totals.pending_bytes
        else:
            settled, retained = [(0, totals.newest)], totals.stored_bytes
        done.pruned_batches, done.pruned_bytes = rows.prune(
            db,
            settled,
            before_ms=self.clock.wall_ms() - int(self.settings.retain_seconds * 1000),
            excess=retained - self.settings.max_bytes // _RETAINED_SHARE,
            keep=totals.newest,
        )
        totals.pruned(done.pruned_batches, done.pruned_bytes)

    def _note_committed(self, sealed: Sequence[tuple[int, EncodedBatch]]) -> None:
        for seq, batch in sealed:
            self.state.committed(seq, batch, self.clock.monotonic())
        self.commits += 1

    async def write(self, body: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction in the writer's thread. Raises NotStored. The caller holds the lock."""
        try:
            return await self._writer.run(lambda db: transaction(db, partial(body, db)))
        except sqlite3.Error as error:
            raise NotStored(f"{self.settings.path}: {error}") from error

    async def write_loss(self, loss: Loss, epoch_no: int, written_off: Ranges) -> None:
        """A loss record as a batch of its own, with what it writes off, in one transaction.

        written_off: seqs of `epoch_no` that will not be sent any more. Raises NotStored.
        """
        async with self._lock:
            epoch = self.state.ledger.current
            seq = epoch.next_seq
            batch = recovery.seal_loss(self.identity, loss, self.clock.wall_ms())
            off = [WrittenOff(epoch_no, written_off, epoch.no, seq)] if written_off else []
            saved = self.state.saved(off)

            def body(db: sqlite3.Connection) -> None:
                rows.insert_batch(db, batch_id(epoch.no, seq), batch)
                rows.save_settled(db, saved)

            await self.write(body)
            self.state.ledger.written_off += off
            self._note_committed([(seq, batch)])
        await self.tell_waiters()

    async def move_to_new_epoch(self, epoch_no: int, loss_of: Callable[[Ranges], Loss]) -> None:
        """Undelivered batches get new names in a new epoch; a record says so about the old names."""
        async with self._lock:
            moved = self.state.ledger.held(epoch_no)
            epoch = recovery.next_epoch(self.state.ledger, self.identity)
            batch = recovery.seal_loss(self.identity, loss_of(moved), self.clock.wall_ms())

            def body(db: sqlite3.Connection) -> tuple[int, list[int]]:
                rows.insert_epoch(db, epoch, "seq_conflict")
                seq = rows.rename(db, epoch_no, moved, epoch.no)
                rows.insert_batch(db, batch_id(epoch.no, seq), batch)
                off = [WrittenOff(epoch_no, moved, epoch.no, seq)] if moved else []
                rows.save_settled(db, self.state.saved(off))
                return seq, rows.select_urgent(db, epoch.no)

            seq, urgent = await self.write(body)
            self.state.moved(epoch, urgent)
            if moved:
                self.state.ledger.write_off(epoch_no, moved, epoch.no, seq)
            self._note_committed([(seq, batch)])
        await self.tell_waiters()

    # --- telling ---------------------------------------------------------------------------------

    async def wait_for_commit(self, seen: int) -> int:
        """Returns the number of commits as soon as it is not `seen`."""
        async with self._news:
            await self._news.wait_for(lambda: self.commits != seen)
        return self.commits

    async def tell_waiters(self) -> None:
        async with self._news:
            self._news.notify_all()

    def report(self) -> BufferReport:
        totals = self.state.totals if self.settings.has_sink else _nothing_pending(self.state.totals)
        return BufferReport(
            pending_batches=totals.pending_batches,
            pending_bytes=totals.pending_bytes,
            pending_samples=totals.pending_samples,
            size_bytes=totals.stored_bytes,
            quota_bytes=self.settings.max_bytes,
            oldest_pending=self._oldest if totals.pending_batches else None,
            uncommitted_frames=self.memory.frame_count,
            uncommitted_age_seconds=self.memory.age_seconds,
            flush_interval_seconds=self.flush_seconds,
            commits=self.commits,
        )


def _nothing_pending(totals: Totals) -> Totals:
    """Without a sink nothing waits for one."""
    return replace(totals, pending_batches=0, pending_bytes=0, pending_samples=0)
