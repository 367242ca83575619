"""Deleting what is older than it is kept, in parts so short that no upload waits for them.

Each part runs in the writer for `BUDGET_SECONDS` at most. Samples go in the order of their arrival, and only
those that the read models' checkpoint includes: a start replays all that is behind it.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from central_sync.services.audit.chain import Place, Signer, Stored, Walk, sign, start_of
from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database
from central_sync.services.retention import InvariantBroken, Slice
from central_sync.store import series, trail
from central_sync.store.audit import record
from central_sync.store.database import read_meta

BUDGET_SECONDS: Final = 0.004
_LOOKED_AT: Final = 500
_ENTRIES: Final = 500
# Free pages are used again by what arrives: only what is far more than that is given back.
_FREE_PAGES: Final = 2_000
_FREE_SHARE: Final = 0.05
_VACUUM_PAGES: Final = 64
RETENTION: Final = Actor("system", "retention")
_SCHEMAS: Final = "(SELECT schema_no FROM device_schema WHERE device_no = ?)"


def samples(connection: sqlite3.Connection, before: int, now: int, cursor: int) -> Slice:
    """A batch that says it arrived in the future does not keep those behind it: the clock was wrong then."""
    deadline = time.monotonic() + BUDGET_SECONDS
    through = int(read_meta(connection, "checkpoint") or 0)
    found = connection.execute(
        "SELECT arrival, device_no, t1, arrived FROM batch WHERE arrival > ? AND arrival <= ? "
        "ORDER BY arrival LIMIT ?",
        (cursor, through, _LOOKED_AT),
    ).fetchall()
    removed = 0
    for arrival, device_no, t1, arrived in found:
        if before <= arrived <= now:
            return Slice(removed, None)
        cursor = arrival
        if arrived < before:
            connection.execute(
                f"DELETE FROM batch_schema WHERE device_no = ? AND schema_no IN {_SCHEMAS} "  # noqa: S608
                "AND t1 = ? AND arrival = ?",
                (device_no, device_no, t1, arrival),
            )
            connection.execute("DELETE FROM batch WHERE arrival = ?", (arrival,))
            removed += 1
        if time.monotonic() > deadline:
            return Slice(removed, cursor)
    return Slice(removed, cursor if len(found) == _LOOKED_AT else None)


def events(connection: sqlite3.Connection, before: int, cursor: int) -> Slice:
    """In the order in which they were noted; behind a part without an old one there are none."""
    found = connection.execute(
        "SELECT no, device_no, time FROM event WHERE no > ? ORDER BY no LIMIT ?", (cursor, _LOOKED_AT)
    ).fetchall()
    old = [(no, device_no) for no, device_no, at in found if at < before]
    connection.executemany("DELETE FROM event WHERE no = ?", [(no,) for no, _ in old])
    connection.executemany(
        "UPDATE device SET events = max(0, events - 1) WHERE no = ?", [(device_no,) for _, device_no in old]
    )
    more = bool(old) and len(found) == _LOOKED_AT
    return Slice(len(old), found[-1][0] if more else None)


def heartbeats(connection: sqlite3.Connection, before: int, cursor: int) -> Slice:
    """One device after the other, whole hours."""
    deadline = time.monotonic() + BUDGET_SECONDS
    removed = 0
    for (device_no,) in connection.execute(
        "SELECT no FROM device WHERE no > ? ORDER BY no LIMIT ?", (cursor, _LOOKED_AT)
    ).fetchall():
        removed += series.forget_before(connection, device_no, before)
        cursor = device_no
        if time.monotonic() > deadline:
            return Slice(removed, cursor)
    more = connection.execute("SELECT 1 FROM device WHERE no > ? LIMIT 1", (cursor,)).fetchone()
    return Slice(removed, cursor if more else None)


def oldest_entries(connection: sqlite3.Connection, before: int) -> tuple[Place, list[Stored]]:
    """The last place that was removed before, and the oldest entries that are not to be kept; never the
    newest one, which the next builds on."""
    anchor = trail.anchor(connection)
    place = start_of(anchor) if anchor else Place()
    found: list[Stored] = []
    for row in trail.rows_after(connection, place.no, _ENTRIES + 1)[:-1]:
        if row.time >= before:
            break
        found.append(row)
    return place, found


def prune_entries(
    connection: sqlite3.Connection, signer: Signer, place: Place, last: Stored, now: int
) -> int:
    """Removes the entries behind `place` up to `last`, and leaves an anchor and an entry that says so."""
    centre = str(read_meta(connection, "centre"))
    statement = sign(signer, "anchor", centre, last.no, last.hash, now)
    connection.execute("DELETE FROM audit_anchor")
    connection.execute("INSERT INTO audit_anchor VALUES (?, ?, ?)", (last.no, now, statement.line()))
    told = {"from": place.no + 1, "to": last.no, "until": last.time, "hash": statement.hash}
    record(connection, RETENTION, now, Entry("audit.prune", "audit", f"{place.no + 1}-{last.no}", after=told))
    return connection.execute("DELETE FROM audit WHERE no <= ?", (last.no,)).rowcount


def vacuum(connection: sqlite3.Connection) -> bool:
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    spare = free - max(_FREE_PAGES, int(pages * _FREE_SHARE))
    if spare <= 0:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({min(spare, _VACUUM_PAGES)})").fetchall()
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    # A file that was not made for it gives nothing back.
    return bool(left < free)


class SqliteRetention:
    def __init__(self, database: Database, signer: Callable[[], Signer]) -> None:
        """signer: called in a reader's thread, where entries of the trail are to go."""
        self._database = database
        self._signer = signer

    async def samples(self, before: int, now: int, cursor: int) -> Slice:
        return await self._database.write(lambda connection: samples(connection, before, now, cursor))

    async def events(self, before: int, cursor: int) -> Slice:
        return await self._database.write(lambda connection: events(connection, before, cursor))

    async def heartbeats(self, before: int, cursor: int) -> Slice:
        return await self._database.write(lambda connection: heartbeats(connection, before, cursor))

    async def audit(self, before: int, now: int) -> Slice:
        def look(connection: sqlite3.Connection) -> tuple[Place, list[Stored], Signer | None]:
            place, found = oldest_entries(connection, before)
            walk = Walk(place)
            walk.take(found)
            if walk.wrong is not None:
                raise InvariantBroken(f"the audit trail is not pruned: {walk.wrong.detail}")
            return place, found, self._signer() if found else None

        place, found, signer = await self._database.read(look)
        if signer is None:
            return Slice(0, None)
        last = found[-1]
        removed = await self._database.write(
            lambda connection: prune_entries(connection, signer, place, last, now)
        )
        return Slice(removed, last.no if len(found) == _ENTRIES else None)

    async def vacuum(self) -> bool:
        return await self._database.write(vacuum)
