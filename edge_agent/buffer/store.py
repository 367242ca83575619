"""The writing side of the buffer: takes frames over, commits batches, makes room, heals.

One writer connection in its own thread. Every write happens under one lock: a flush, or an amendment of
the account (a loss, a change of names). A write that has begun is awaited to its end, whoever is
cancelled meanwhile. The thread gets copies; the state in memory changes after the commit.

A disk that fails ends nothing: frames stay in memory, and each later flush tries again. After an error
that leaves open what is on the disk (anything but «full» and «busy»), the connection is closed and the
file opened afresh before the next write. Only then is it known whether the last commit counts.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

from edge_agent.buffer import recovery, rows, salvage, segments
from edge_agent.buffer.amendments import Amendment, Amendments
from edge_agent.buffer.commit import Committer, Flushed, NoRoom, Order
from edge_agent.buffer.condition import Condition
from edge_agent.buffer.database import finish
from edge_agent.buffer.errors import DiskFull, NotStored
from edge_agent.buffer.file import transaction
from edge_agent.buffer.frames import TAKE_BYTES, FrameMemory
from edge_agent.buffer.hooking import Hooking, hooked_bytes
from edge_agent.buffer.ledger import Ledger, batch_id
from edge_agent.buffer.news import News
from edge_agent.buffer.quota import Space
from edge_agent.buffer.recovery import Begun, Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.room import Room
from edge_agent.buffer.segments import Leftovers
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.state import BufferState, Totals
from edge_agent.buffer.writer import Writer
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import FrameHooks
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.progress import Pulse
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import BufferReport, Loss
from edge_agent.wire.schema import Schema

# Acknowledgements and prunes ride in an insert's transaction this often, whichever comes first.
SETTLE_FLUSHES: Final = 60
SETTLE_SECONDS: Final = 60.0
# The most that a slow medium may stretch the flush interval to.
MAX_FLUSH_SECONDS: Final = 10.0
_COMMITS_APART: Final = 20
# A disk that fails is tried again after these times.
RETRY_FIRST_SECONDS: Final = 1.0
RETRY_MAX_SECONDS: Final = 10.0
# What is refused is written down this often: each record takes room of its own.
REFUSAL_SECONDS: Final = 10.0
# Rounds of making room before a flush gives up for this time; each frees a chunk.
_ROUNDS: Final = 8
# Of the quota: a commit must fit beside what else there is.
_TAKE_SHARE: Final = 8


class Store:
    """Implements contracts.frames.FrameSink. `outbox.StoredOutbox` is the reading side.

    Longer than others: taking, committing, making room and healing share one lock and one state, and a
    reader must see in one place what happens between an error and the next write.

    openings: how often the file was opened; whoever has it open too does so again when this grows.
    """

    def __init__(
        self, settings: StoreSettings, identity: Identity, frame_ring: FrameRing, clock: Clock
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.clock = clock
        self.state = BufferState(Ledger(), Totals(), settings.has_sink)
        self.memory = FrameMemory(frame_ring, clock)
        self.condition = Condition(clock, self.memory.record)
        self.openings = 0
        self.commits = 0
        self.stored_samples = 0
        self.dropped_samples = 0
        self.recovered_frames = 0
        self.recovered_losses: list[Loss] = []
        self._ring = frame_ring
        self._ring_directory = Path()
        self._writer = Writer(settings.path, settings.max_bytes)
        self._committer = Committer(settings, identity, clock)
        self._in_doubt: tuple[Order, int] | None = None
        self.pulse = Pulse()
        self._lock = asyncio.Lock()
        self.news = News()
        self._flushes_since_settle = 0
        self._settled_at = clock.monotonic()
        self._refused_at: float | None = None
        self._prune_more = False
        self._commit_seconds = 0.0
        self._oldest_ms: int | None = None
        self._space = Space()
        self.hooks: FrameHooks | None = None
        # Most that they may take; half a flush interval is the rest of it. Less where the agent stops.
        self.hook_seconds = inf
        self._hooking = Hooking(self.memory)

    # --- life ------------------------------------------------------------------------------------

    async def open(self, ring_directory: Path) -> None:
        """Opens or creates the database, begins this run, and commits what earlier runs left in the ring.

        ring_directory: the ring's own, no other agent's. Raises InUse, NewerDatabase, NotABuffer,
        OtherDevice, and OSError where the ring cannot be used. A disk that fails is not raised: frames
        are taken from now on, and `run_flushes` tries again.
        """
        self._ring_directory = ring_directory
        self._ring.open(self.identity.device)
        self._hooking.find(ring_directory)
        try:
            await finish(self._open_first())
        except BaseException:
            await self._close_files(ended=True)
            raise

    async def _open_first(self) -> None:
        async with self._lock:
            try:
                await self._open()
            except NotStored as error:
                self.condition.failed(error)

    async def close(self) -> None:
        """Commits what is in memory, marks the run as cleanly ended, closes. Raises NotStored."""
        ended = False
        try:
            await finish(self._flush_all())
            ended = True
        finally:
            await self._close_files(ended=ended)

    async def _flush_all(self) -> None:
        """The last flush. What is too much for one commit takes several; the run ends with the last."""
        await self._flush(settle=True, ends_run=True)
        while self.memory.is_behind:
            await self._flush(settle=True, ends_run=True)

    async def abandon(self) -> None:
        """Closes without a commit: what is in memory stays in the ring for the next start."""
        await self._close_files()

    async def _close_files(self, *, ended: bool = False) -> None:
        self._ring.close(ended=ended)
        await self._writer.close()

    # --- opening, and opening again ----------------------------------------------------------------

    def suspect(self, error: Exception) -> None:
        """A reader met something that does not look like a sound file: it is opened afresh."""
        self._writer.suspect(error)

    async def _open(self) -> None:
        """Raises NotStored where the disk fails, and what `open` says. The caller holds the lock."""
        # To take over what a damaged file of some gigabytes holds takes minutes.
        self.pulse.rest()
        found, begun, landed = await self._writer.open(self._begin)
        segments.clear(found)
        self._opened(begun, landed=landed)
        if self.openings > 1:
            await self.news.tell()

    def _begin(self, db: sqlite3.Connection) -> tuple[Leftovers, Begun, bool]:
        identity, first = self.identity, self.openings == 0
        found = Leftovers()
        if first:
            found = segments.find(self._ring_directory, identity.device, identity.boot, identity.run)
            found.failing = self._hooking.left
        landed = self._in_doubt is not None and self._has_landed(db, self._in_doubt[0])
        body = partial(
            recovery.begin, db, identity, found, self.clock.wall_ms(), has_sink=self.settings.has_sink,
            before=None if first else self.state.ledger, batch_bytes=self.settings.batch_bytes,
        )  # fmt: skip
        begun = transaction(db, body)
        self._committer.aside_bytes = salvage.finish(db, self.settings.path, self.settings.max_bytes)
        self._space = self._committer.prepare(db)
        return found, begun, landed

    @staticmethod
    def _has_landed(db: sqlite3.Connection, order: Order) -> bool:
        """Whether a commit that failed is on the disk nevertheless. It is there whole or not at all."""
        if not order.sealed:
            return False
        return rows.select_hash(db, batch_id(*order.name)) == order.sealed[0].hash

    def _opened(self, begun: Begun, *, landed: bool) -> None:
        self.openings += 1
        self.state = begun.state
        self._oldest_ms = begun.oldest_ms
        self.recovered_frames += begun.recovered_frames
        self.recovered_losses += begun.losses
        self.state.committed(self.state.ledger.current.no, begun.sealed, self.clock.monotonic())
        self.stored_samples += sum(batch.samples for _, batch in begun.sealed)
        self.commits += 1
        if self._in_doubt is not None:
            order, mark = self._in_doubt
            self._in_doubt = None
            if landed:
                self.stored_samples += sum(batch.samples for batch in order.sealed or ())
                self._settle_memory(order, mark)
            else:
                self.memory.give_back(order.take)
        # Behind the settling: the file may lack older states than those of the commit in doubt.
        self._hooking.opened(begun)
        if self.openings > 1:
            self.memory.forget_stored()

    # --- taking frames ---------------------------------------------------------------------------

    def append(self, schema: Schema, frame: Frame) -> None:
        self.memory.append(schema, frame)

    def record(self, kind: Kind, record: Mapping[str, Any]) -> None:
        self.memory.record(kind, record)

    async def announce(self, schemas: list[Schema]) -> None:
        """They are committed with the first frames; until then the ring keeps them. Never raises.

        Hooks are prepared for them meanwhile, so that the first frames need not go on without.
        """
        self.memory.announce(schemas)
        if self.hooks is not None:
            await self.hooks.expect(schemas)

    # --- committing ------------------------------------------------------------------------------

    @property
    def flush_seconds(self) -> float:
        """The effective flush interval: a slow medium is not asked to commit all the time."""
        return max(self.settings.flush_seconds, min(_COMMITS_APART * self._commit_seconds, MAX_FLUSH_SECONDS))

    async def run_flushes(self) -> None:
        """Commits every flush interval, or as soon as a batch is full. A disk that fails is tried again.

        Never returns; raises only what is a bug.
        """
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=0)
        while True:
            try:
                # Hooks may take half as long again.
                self.pulse.beat(self.flush_seconds * (1.0 if self.hooks is None else 1.5))
                await self.memory.wait(self.flush_seconds)
                await self.flush()
                backoff.reset()
            except NotStored:
                self.pulse.beat(RETRY_MAX_SECONDS)
                await self.clock.sleep(backoff.next())

    async def flush(self, *, settle: bool = False) -> None:
        """Commits what was taken so far. Raises NotStored, and then nothing is gone from memory."""
        await finish(self._flush(settle=settle))

    async def _flush(self, *, settle: bool, ends_run: bool = False) -> None:
        async with self._lock:
            try:
                if not self._writer.is_open:
                    await self._open()
                    self.condition.worked()
                changed = await self._flush_locked(settle=settle, ends_run=ends_run)
            except NotStored as error:
                self.condition.failed(error)
                raise
            if changed:
                self.condition.worked()
        if changed:
            await self.news.tell()

    async def _flush_locked(self, *, settle: bool, ends_run: bool) -> bool:
        """Whether something was committed."""
        most_bytes = min(TAKE_BYTES, self.settings.max_bytes // _TAKE_SHARE)
        if self.hooks is not None and not ends_run:
            most_bytes = min(most_bytes, hooked_bytes(self.flush_seconds))
        take = self.memory.take(most_bytes)
        mark = self._ring.rotate()
        try:
            seconds = min(self.flush_seconds / 2, self.hook_seconds)
            await self._hooking.apply(self.hooks, take, seconds)
        except BaseException:
            self.memory.give_back(take)
            raise
        order = Order(
            take, self.state.next_name(), self.state.saved(), settle or self._settle_is_due(),
            self.state.first_held(), self.clock.wall_ms(), ends_run and not self.memory.is_behind,
            states=self._hooking.due(take),
        )  # fmt: skip
        if take.empty and not order.settle:
            self.memory.stored(take)
            return False
        try:
            done = await self._commit(order)
        except BaseException:
            if self._writer.fault is None:
                self.memory.give_back(take)
            else:
                self._in_doubt = order, mark
            raise
        if done is None:
            self.memory.give_back(take)
            return False
        self._flushed(order, done)
        self._settle_memory(order, mark)
        return True

    @property
    def hook_states(self) -> dict[str, bytes]:
        """Of hooks by name, as they were committed last; known when the file was opened."""
        return self._hooking.states

    def keep_failing(self, patterns: Mapping[str, bool]) -> None:
        """What `hooks.failed()` will say as soon as this has returned. Never raises.

        Before the file was opened for the first time, what the run before has left counts too.
        """
        self._hooking.keep_failing(patterns)

    def _settle_memory(self, order: Order, mark: int) -> None:
        """The order is on the disk. Of what is left in memory the ring may not let go."""
        self._hooking.stored(order.states)
        behind = self.memory.is_behind
        self.memory.stored(order.take)
        if not behind:
            self._ring.release(mark)

    def _settle_is_due(self) -> bool:
        self._flushes_since_settle += 1
        waited = self.clock.monotonic() - self._settled_at
        due = self._flushes_since_settle >= SETTLE_FLUSHES or waited >= SETTLE_SECONDS
        return self._prune_more or (due and self.state.unsaved)

    async def _commit(self, order: Order) -> Flushed | None:
        """Makes room where there is none. None: what the order holds was refused, and is to be told later."""
        for _ in range(_ROUNDS):
            try:
                return await self._writer.write(partial(self._committer.flush, order))
            except DiskFull:
                if not self._space.ballast:
                    raise
                self._space = await self._writer.write(self._committer.relieve)
                self._renew(order)
            except NoRoom as lack:
                self._space = lack.space
                if await self._drop(order, lack.nbytes):
                    continue
                if self.settings.drop_oldest:
                    text = "the disk is full, and the buffer has nothing to drop"
                    raise DiskFull(f"{self.settings.path}: {text}") from None
                if order.records_only:
                    await self._fold(order)
                elif not self._refuse(order):
                    return None
        raise DiskFull(f"{self.settings.path}: the disk is full, and making room did not help")

    async def _drop(self, order: Order, nbytes: int) -> bool:
        """Delivered batches go, then the oldest where that is the policy. Whether anything went."""
        room = Room(self._amendments(), nbytes)
        if self._space.ballast and not self._space.free:
            self._space = await self._writer.write(self._committer.relieve)
        await self._change(room.drop(held=self.settings.drop_oldest))
        if not room.freed.batches:
            return False
        if room.freed.held_samples:
            self.dropped_samples += room.freed.held_samples
            self.condition.made_room("the oldest samples are dropped")
        self._renew(order)
        return True

    async def _fold(self, order: Order) -> None:
        """Loss records that wait to be sent become one. Raises NotStored where that frees nothing."""
        room = Room(self._amendments(), 0)
        await self._change(room.fold())
        if not room.freed.batches:
            raise DiskFull(f"{self.settings.path}: the disk is full")
        self._renew(order)

    def _refuse(self, order: Order) -> bool:
        """New samples become a loss. Whether the record of it is due already."""
        self.dropped_samples += order.take.refuse(order.now_ms)
        self.memory.refused()
        self.condition.made_room("new samples are refused")
        now = self.clock.monotonic()
        told_lately = self._refused_at is not None and now - self._refused_at < REFUSAL_SECONDS
        if told_lately and not order.ends_run:
            return False
        self._refused_at = now
        order.sealed, order.records_only = None, True
        return True

    def _renew(self, order: Order) -> None:
        """Something else was committed, or a try has changed the order's copy of the account."""
        order.name = self.state.next_name()
        order.saved = self.state.saved()
        order.first_held = self.state.first_held()

    def _flushed(self, order: Order, done: Flushed) -> None:
        self._commit_seconds = done.commit_seconds
        self._oldest_ms = done.oldest_ms
        self._space = done.space
        if order.settle:
            self.state.totals.prune(done.pruned.batches, done.pruned.nbytes)
            self.state.was_saved(order.saved, done.unsized)
            self._prune_more = done.pruned.more
            self._flushes_since_settle = 0
            self._settled_at = self.clock.monotonic()
        self.state.committed(order.name[0], done.sealed, self.clock.monotonic())
        self.stored_samples += sum(batch.samples for _, batch in done.sealed)
        self.commits += 1

    # --- amending --------------------------------------------------------------------------------

    async def amend(self, prepare: Callable[[Amendments], Amendment | None]) -> None:
        """Changes the account in one transaction of its own. Raises NotStored, and then nothing changed."""
        await finish(self._amend(prepare))

    async def _amend(self, prepare: Callable[[Amendments], Amendment | None]) -> None:
        async with self._lock:
            if not self._writer.is_open:
                raise NotStored(f"{self.settings.path}: {self.condition.error or self._writer.fault}")
            changed = await self._change(prepare(self._amendments()))
        if changed:
            await self.news.tell()

    def _amendments(self) -> Amendments:
        return Amendments(self.state, self.identity, self.clock)

    async def _change(self, amendment: Amendment | None) -> bool:
        """The caller holds the lock."""
        if amendment is None:
            return False
        self.state.frozen = amendment.frozen
        try:
            written = await self._writer.write(lambda db: transaction(db, partial(amendment.body, db)))
        finally:
            self.state.frozen = (0, [])
        if written is None:
            return False
        amendment.applied(written)
        self.commits += 1
        return True

    # --- telling ---------------------------------------------------------------------------------

    @property
    def lost_samples(self) -> int:
        """What this run has lost here: for want of memory or of disk."""
        return self.memory.dropped_samples + self.dropped_samples

    def report(self) -> BufferReport:
        totals = self.state.totals
        pending = self.state.ledger.held_count()
        return BufferReport(
            pending_batches=pending,
            pending_bytes=max(0, totals.pending_bytes) if pending else 0,
            pending_samples=max(0, totals.pending_samples) if pending else 0,
            size_bytes=self._space.used,
            quota_bytes=self.settings.max_bytes,
            oldest_pending=self._oldest_ms if pending else None,
            uncommitted_frames=self.memory.frame_count,
            uncommitted_age_seconds=self.memory.age_seconds,
            uncommitted_bytes=self.memory.size_bytes,
            flush_interval_seconds=self.flush_seconds,
            commits=self.commits,
            state=self.condition.state,
            error=self.condition.error[:500],
            since=self.condition.since_ms,
            free_bytes=self._space.free if self.openings else None,
            lost_samples=self.lost_samples,
        )
