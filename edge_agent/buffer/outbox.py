"""The reading side of the buffer: what a sink's client fetches, and what became of it."""

import sqlite3
from functools import partial

from edge_agent.buffer import rows
from edge_agent.buffer.database import Connection
from edge_agent.buffer.store import Store
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Head, Loss, LossConnection, LossReason
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import BatchItem


class StoredOutbox:
    """Implements contracts.outbox.Outbox on a connection and thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Connection(store.settings.path, writer=False, max_bytes=store.settings.max_bytes)

    async def open(self) -> None:
        """After the store's `open`, which creates the tables."""
        await self._reader.open()

    async def close(self) -> None:
        await self._reader.close()

    @property
    def current_epoch(self) -> int:
        return self._store.state.ledger.current.no

    def heads(self) -> list[Head]:
        return [self.head(no) for no in self._store.state.ledger.open_epochs()]

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
        )

    def held(self, epoch_no: int) -> Ranges:
        return self._store.state.ledger.held(epoch_no)

    def urgent(self) -> Ranges:
        return ranges.of_numbers(self._store.state.urgent)

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        return self._store.state.committed_at(epoch_no, seq)

    async def wait_for_commit(self, seen: int) -> int:
        return await self._store.wait_for_commit(seen)

    async def fetch(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        items = self._store.state.recent(epoch_no, wanted, max_bytes)
        if not items:
            items = await self._reader.run(lambda db: rows.select_items(db, epoch_no, wanted, max_bytes))
        self._store.state.fetched(epoch_no, items)
        return items

    async def schema(self, name: str) -> bytes | None:
        return await self._reader.run(partial(rows.select_schema, name=name))

    def acknowledge(self, epoch_no: int, acked: Ranges) -> int:
        return self._store.state.settle(epoch_no, acked)

    async def reject(self, epoch_no: int, seq: int, why: str) -> None:
        connections = await self._reader.run(partial(_contents, epoch_no=epoch_no, seq=seq))
        loss = self._loss(LossReason.REJECTED, epoch_no, [(seq, seq)], why[:500], connections)
        await self._store.write_loss(loss, epoch_no, [(seq, seq)])
        self._store.state.withdraw(epoch_no, seq)

    async def resend(self, epoch_no: int, missing: Ranges) -> None:
        state = self._store.state
        missing = ranges.intersect(missing, state.ledger.epochs[epoch_no].settled)
        if not missing:
            return
        stored = await self._reader.run(partial(rows.select_sizes, epoch_no=epoch_no, wanted=missing))
        again = ranges.of_numbers(stored)
        state.ledger.unsettle(epoch_no, again)
        for nbytes, samples in stored.values():
            state.totals.hold(nbytes, samples)
        state.unsaved = True
        gone = ranges.subtract(missing, again)
        if gone:
            why = "acknowledged once, missing at the centre, and no longer retained here"
            loss = self._loss(LossReason.CENTRE_FORGOT, epoch_no, gone, why, exact=False)
            await self._store.write_loss(loss, epoch_no, [])
        else:
            await self._store.tell_waiters()

    async def rename(self, epoch_no: int) -> None:
        why = "the centre knows these names with other content: the batches go on under new ones"
        await self._store.move_to_new_epoch(
            epoch_no, lambda moved: self._loss(LossReason.RENAMED, epoch_no, moved, why)
        )

    def _loss(
        self,
        reason: LossReason,
        epoch_no: int,
        seqs: Ranges,
        detail: str,
        connections: list[LossConnection] | None = None,
        *,
        exact: bool = True,
    ) -> Loss:
        now = self._store.clock.wall_ms()
        return Loss(
            reason=reason,
            epoch=self._store.state.ledger.epochs[epoch_no].id,
            seqs=seqs,
            connections=connections or [],
            t0=now,
            t1=now,
            exact=exact,
            detail=detail,
        )


def _contents(db: sqlite3.Connection, epoch_no: int, seq: int) -> list[LossConnection]:
    """What a batch holds, by group, for the loss record that replaces it."""
    found: list[LossConnection] = []
    for item in rows.select_items(db, epoch_no, [(seq, seq)], 1):
        try:
            opened = Batch.open(item.body, item.codec, item.raw_bytes)
        except WireError:
            continue
        for name, (numbers, samples) in opened.contents().items():
            body = rows.select_schema(db, name)
            if body is not None:
                schema = Schema.from_bytes(body)
                found.append(
                    LossConnection(
                        name=schema.connection,
                        group=schema.group,
                        run=opened.origin.run,
                        n=numbers,
                        samples=samples,
                    )
                )
    return found
