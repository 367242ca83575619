"""The reading side of the buffer: what a sink's client fetches, and what became of it."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from edge_agent.buffer import rows
from edge_agent.buffer.database import Connection
from edge_agent.buffer.errors import NotStored
from edge_agent.buffer.file import connect_reader
from edge_agent.buffer.store import Store
from edge_agent.runtime.clock import sync_state
from edge_agent.wire import ranges
from edge_agent.wire.batch import content_hash
from edge_agent.wire.messages import Head
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

T = TypeVar("T")


class StoredOutbox:
    """Implements contracts.outbox.Outbox; reads on a connection and thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader: Connection | None = None
        self._opening = 0
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def _read(self, body: Callable[[sqlite3.Connection], T]) -> T:
        """Raises NotStored where the file cannot be read; the store then opens it afresh."""
        try:
            async with self._lock:
                if self._reader is None or self._opening != self._store.openings:
                    await self.close()
                    self._opening = self._store.openings
                    reader = Connection("reader")
                    await reader.open(partial(connect_reader, self._store.settings.path))
                    self._reader = reader
                return await self._reader.run(body)
        except sqlite3.Error as error:
            self._store.suspect(error)
            raise NotStored(f"{self._store.settings.path}: {error}") from error

    @property
    def current_epoch(self) -> int:
        ledger = self._store.state.ledger
        return ledger.current.no if ledger.epochs else 0

    def heads(self) -> list[Head]:
        return [self.head(no) for no in self._store.state.ledger.known_epochs()]

    def head(self, epoch_no: int) -> Head:
        ledger = self._store.state.ledger
        epoch = ledger.epochs[epoch_no]
        return Head(
            epoch=epoch.id,
            no=epoch.no,
            run=self._store.identity.run,
            boot=self._store.identity.boot,
            floor=ledger.floor(epoch_no),
            next=epoch.next_seq,
            held=ledger.held(epoch_no),
            now=self._store.clock.wall_ms(),
            sync=sync_state(),
        )

    def held(self, epoch_no: int) -> Ranges:
        return self._store.state.ledger.held(epoch_no)

    def urgent(self) -> Ranges:
        return ranges.of_numbers(self._store.state.urgent)

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        return self._store.state.recent.committed_at(epoch_no, seq)

    async def wait_for_commit(self, seen: int) -> int:
        return await self._store.news.wait(seen)

    async def fetch(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        recent = self._store.state.recent
        items = recent.first(epoch_no, wanted, max_bytes)
        if not items:
            try:
                items, absent = await self._read(partial(_fetch, epoch_no, wanted, max_bytes))
                if absent:
                    await self._store.amend(lambda amendments: amendments.unreadable(epoch_no, absent))
            except NotStored:
                # A lane must not end by a damaged page. The store tells of it, and mends it with its next
                # write; what could not be read or accounted for comes to be asked for again.
                return items
        recent.fetched(epoch_no, items)
        return items

    async def schema(self, name: str) -> bytes | None:
        body = await self._read(partial(rows.select_schema, name=name))
        # A damaged one is written anew with the next start of its group.
        return body if body is not None and hashlib.sha256(body).hexdigest() == name else None

    def acknowledge(self, epoch_no: int, acked: Ranges) -> int:
        return self._store.state.settle(epoch_no, acked)

    async def reject(self, epoch_no: int, seq: int, why: str) -> None:
        await self._store.amend(lambda amendments: amendments.reject(epoch_no, seq, why))

    async def resend(self, epoch_no: int, missing: Ranges) -> None:
        await self._store.amend(lambda amendments: amendments.resend(epoch_no, missing))

    async def rename(self, epoch_no: int, seqs: Ranges) -> None:
        await self._store.amend(lambda amendments: amendments.rename(epoch_no, seqs))


def _fetch(
    epoch_no: int, wanted: Ranges, max_bytes: int, db: sqlite3.Connection
) -> tuple[list[BatchItem], Ranges]:
    """What is fetched, and what of `wanted` is not there or not what was stored: a medium forgets bits."""
    found = rows.select_items(db, epoch_no, wanted, max_bytes)
    sound = [item for item in found if content_hash(item.body) == item.hash]
    damaged = {item.seq for item in found} - {item.seq for item in sound}
    return sound, ranges.union(_absent(wanted, found), ranges.of_numbers(damaged))


def _absent(wanted: Ranges, items: list[BatchItem]) -> Ranges:
    """Which of `wanted` a query passed over on its way to the last item; all of them where it found none."""
    if not items:
        return wanted
    found = ranges.of_numbers(item.seq for item in items)
    return ranges.subtract(ranges.intersect(wanted, [(wanted[0][0], found[-1][1])]), found)
