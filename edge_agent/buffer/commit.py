"""What one flush does in the writer's thread: seal, look for room, store, settle, prune, tidy up.

One transaction and one fsync, whatever it holds. Nothing here touches the state in memory: an order is a
copy of what is needed of it, and the answer says what to change after the commit.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge_agent.buffer import disk, rows
from edge_agent.buffer.ages import Ages
from edge_agent.buffer.file import transaction
from edge_agent.buffer.ledger import batch_id
from edge_agent.buffer.pages import PAGE_BYTES
from edge_agent.buffer.quota import Quota, Space, pages_for
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.seal import Take, seal
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.state import Saved
from edge_agent.contracts.clock import Clock
from edge_agent.wire.batch import EncodedBatch

# Delivered batches take at most this share of the quota.
_RETAINED_SHARE: Final = 4
# Beside its batches a commit changes interior pages, the account and the schemas' index.
_SLACK_BYTES: Final = 8 * PAGE_BYTES
# What one commit gives back to the file system at most: it has to go on.
_VACUUM_PAGES: Final = 256
_NOT_NOW: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)


@dataclass(slots=True)
class Order:
    """One flush. saved: the account; written if `settle`. records_only: it may use what is kept for losses.

    sealed: kept for another try. states: of hooks, to be kept.
    """

    take: Take
    name: tuple[int, int]
    saved: Saved
    settle: bool
    first_held: int
    now_ms: int
    ends_run: bool = False
    records_only: bool = False
    sealed: list[EncodedBatch] | None = None
    states: Mapping[str, bytes] = field(default_factory=dict)


_NOTHING_PRUNED: Final = rows.Pruned()


@dataclass(slots=True)
class Flushed:
    """What a flush did."""

    sealed: list[tuple[int, EncodedBatch]]
    space: Space = Space()  # noqa: RUF009 - frozen
    commit_seconds: float = 0.0
    unsized: tuple[int, int] = (0, 0)
    pruned: rows.Pruned = _NOTHING_PRUNED
    oldest_ms: int | None = None


class NoRoom(Exception):
    """The batches do not fit before about `nbytes` are freed."""

    def __init__(self, nbytes: int, space: Space) -> None:
        super().__init__(f"{nbytes} bytes are lacking")
        self.nbytes = nbytes
        self.space = space


class Committer:
    """Belongs to the writer's thread. aside_bytes: what damaged files take, by the last count."""

    def __init__(self, settings: StoreSettings, identity: Identity, clock: Clock) -> None:
        self._settings = settings
        self._quota = Quota(settings.max_bytes, settings.min_free_bytes)
        self._identity = identity
        self._clock = clock
        self._ages = Ages(settings.retain_seconds, None, clock.monotonic())
        self.aside_bytes = 0

    def prepare(self, db: sqlite3.Connection) -> Space:
        """After opening: how old batches are, the hard limit, and the ballast if there is room for it."""
        saved = rows.get_state(db, "ages")
        self._ages = Ages(self._settings.retain_seconds, saved, self._clock.monotonic())
        space = self._measure(db)
        limit = self._quota.database_limit(replace(space, free=1 << 62))
        db.execute(f"PRAGMA max_page_count={limit // PAGE_BYTES}")
        self._keep_ballast(space)
        return space

    def flush(self, order: Order, db: sqlite3.Connection) -> Flushed:
        """Raises NoRoom, sqlite3.Error, OSError."""
        if order.sealed is None:
            order.sealed = seal(self._identity.origin, order.take, order.now_ms, self._settings.batch_bytes)
        space = self._measure(db)
        if space.wal > 2 * self._quota.on(space.total).wal_bytes:
            # One large commit: what its log took is more than what is kept for it.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            space = self._measure(db)
        if order.sealed:
            self._look_for_room(order, order.sealed, space)
        started = self._clock.monotonic()
        done = transaction(db, lambda: self._store(db, order, order.sealed or []))
        done.commit_seconds = self._clock.monotonic() - started
        if order.settle:
            self._tidy(db)
        done.space = space
        return done

    def relieve(self, db: sqlite3.Connection) -> Space:
        """The disk is full: gives the ballast up, and writes the log back while there is room for that."""
        disk.drop_ballast(self._settings.path)
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return self._measure(db)

    def _measure(self, db: sqlite3.Connection) -> Space:
        return disk.measure(db, self._settings.path, self.aside_bytes)

    def _look_for_room(self, order: Order, sealed: list[EncodedBatch], space: Space) -> None:
        needed = sum(pages_for(len(batch.body)) for batch in sealed)
        needed += sum(pages_for(len(state)) for state in order.states.values())
        needed += sum(pages_for(len(schema.canonical)) for schema in order.take.schemas.values())
        lacking = self._quota.lacking(space, needed + _SLACK_BYTES, records=order.records_only)
        if lacking:
            raise NoRoom(self._quota.chunk(space, lacking), space)

    def _store(self, db: sqlite3.Connection, order: Order, batches: list[EncodedBatch]) -> Flushed:
        schemas = order.take.schemas.values()
        rows.insert_schemas(db, [(schema.hash, schema.canonical) for schema in schemas])
        rows.put_hook_states(db, order.states)
        done = Flushed(rows.insert_batches(db, *order.name, batches))
        newest = batch_id(order.name[0], done.sealed[-1][0]) if done.sealed else order.saved.totals.newest
        self._ages.note(newest, self._clock.monotonic())
        if order.settle:
            done.unsized = rows.sizes(db, order.saved.unsized)
            order.saved.totals.release(*done.unsized)
            done.pruned = self._prune(db, order.saved)
            rows.save(db, order.saved)
            rows.put_state(db, "ages", self._ages.saved(self._clock.monotonic()))
        if order.ends_run:
            rows.end_run(db, self._identity.run)
        done.oldest_ms = rows.select_t0(db, order.first_held)
        return done

    def _prune(self, db: sqlite3.Connection, saved: Saved) -> rows.Pruned:
        totals = saved.totals
        retained = totals.stored_bytes - totals.pending_bytes
        pruned = rows.prune(
            db,
            saved.settled,
            old=self._ages.old(self._clock.monotonic()),
            excess=retained - self._settings.max_bytes // _RETAINED_SHARE,
            keep=totals.newest,
        )
        totals.prune(pruned.batches, pruned.nbytes)
        return pruned

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Now and then: pages beyond the limit go back to the file system, and the ballast comes back."""
        space = self._measure(db)
        surplus = min(self._quota.surplus_pages(space), _VACUUM_PAGES)
        if surplus:
            try:
                # Frees a page a step; `execute` makes one step only.
                db.executescript(f"PRAGMA incremental_vacuum({surplus})")
            except sqlite3.OperationalError as error:
                # The commit is made, and what these mean is that it is not. The next one tidies up.
                if error.sqlite_errorcode & 0xFF not in _NOT_NOW:
                    raise
        self._keep_ballast(space)

    def _keep_ballast(self, space: Space) -> None:
        quota = self._quota.on(space.total)
        missing = quota.ballast_bytes - space.ballast
        if missing and space.free - missing > quota.min_free_bytes:
            disk.fill_ballast(self._settings.path, quota.ballast_bytes)
