"""Changes of the account that are no flush: a batch rejected or unreadable, seqs asked for again, names
that were taken. `room` has those that make room.

Each is one transaction: prepared on the event loop from the state, executed in the writer's thread on
copies, applied to the state after the commit (`Store.amend`). The record of a loss is committed together
with what it writes off.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from edge_agent.buffer import losses, recovery, rows
from edge_agent.buffer.groups import Groups
from edge_agent.buffer.ledger import WrittenOff, batch_id, follow
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.seal import seal_losses
from edge_agent.buffer.state import BufferState, Saved
from edge_agent.contracts.clock import Clock
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, EncodedBatch, Kind
from edge_agent.wire.messages import Loss, LossConnection, LossReason
from edge_agent.wire.ranges import Ranges

logger = structlog.stdlib.get_logger(__name__)

Names = dict[tuple[int, int], tuple[int, int]]  # old (epoch number, seq) → new


@dataclass(frozen=True, slots=True)
class Amendment:
    """body: in the writer's thread, inside a transaction. applied: on the event loop, after its commit.

    frozen: (epoch number, seqs) whose acknowledgements do not count meanwhile.
    """

    frozen: tuple[int, Ranges]
    body: Callable[[sqlite3.Connection], "Written | None"]
    applied: Callable[["Written"], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What a body did: the record that it stored, what that writes off, and how the sums change.

    saved: None where it wrote nothing.
    """

    saved: Saved | None
    unsized: tuple[int, int] = (0, 0)
    record: tuple[int, int, EncodedBatch] | None = None
    off: tuple[WrittenOff, ...] = ()
    names: Names | None = None
    stored: rows.Stored | None = None
    urgent: Sequence[int] = ()


class Amendments:
    """Prepares one amendment, under the store's lock. Each returns None where there is nothing to do."""

    def __init__(self, state: BufferState, identity: Identity, clock: Clock) -> None:
        self.state = state
        self.identity = identity
        self.clock = clock
        # What a body in the writer's thread reads is a copy.
        self._epoch_ids = {no: epoch.id for no, epoch in state.ledger.epochs.items()}

    def reject(self, epoch_no: int, seq: int, why: str) -> Amendment | None:
        """The sink refused this batch for good. Its row stays as long as delivered ones do."""
        seqs = ranges.intersect(self.state.ledger.held(epoch_no), [(seq, seq)])
        if not seqs:
            return None
        saved, name, lost_records = self.begin(epoch_no, seqs)

        def body(db: sqlite3.Connection) -> Written | None:
            stored = rows.select_stored(db, epoch_no, seqs)
            connections, carried = contents(db, epoch_no, seq, Groups(db))
            loss = self.loss(
                LossReason.REJECTED, epoch_no, seqs, why, connections=connections,
                most=None if connections is not None else stored.samples,
            )  # fmt: skip
            if carried is None:
                carried = lost_records
            saved.totals.release(stored.nbytes, stored.samples)
            return replace(self.write_off(db, saved, name, epoch_no, seqs, [loss, *carried]), stored=stored)

        return Amendment((epoch_no, seqs), body, self._apply_released)

    def unreadable(self, epoch_no: int, missing: Ranges) -> Amendment | None:
        """Held batches that a reader did not find, or not as they were stored: those that are really gone
        become a loss. A damaged row stays as long as delivered ones do."""
        missing = ranges.intersect(self.state.ledger.held(epoch_no), missing)
        if not missing:
            return None
        saved, name, _ = self.begin(epoch_no, missing)

        def body(db: sqlite3.Connection) -> Written | None:
            damaged = rows.select_damaged(db, epoch_no, missing)
            stored = rows.select_stored(db, epoch_no, missing).seqs
            gone = ranges.union(ranges.subtract(missing, stored), damaged.seqs)
            if not gone:
                return None
            whole = ranges.coalesce(damaged.seqs) == gone
            text = "not what was stored any more" if whole else "not in the database any more"
            loss = self.loss(
                LossReason.UNREADABLE, epoch_no, gone, text, most=damaged.samples if whole else None
            )
            saved.totals.release(damaged.nbytes, damaged.samples)
            lost_records = self.lost_records(saved, epoch_no, gone)
            written = self.write_off(db, saved, name, epoch_no, gone, [loss, *lost_records])
            return replace(written, stored=damaged)

        return Amendment((epoch_no, missing), body, self._apply_released)

    def resend(self, epoch_no: int, missing: Ranges) -> Amendment | None:
        """The sink lacks what it once acknowledged: held again where retained, else a loss.

        What is retained costs no write: it is noted with the next acknowledgements, and a process that
        is killed before that is asked again.
        """
        ledger = self.state.ledger
        epoch = ledger.epochs.get(epoch_no)
        if epoch is None:
            return None
        missing = ranges.subtract(ranges.intersect(missing, epoch.settled), ledger.off(epoch_no))
        missing = ranges.subtract(missing, ledger.told(epoch_no, missing))
        if not missing:
            return None
        saved, name, _ = self.begin(epoch_no, missing)
        keys = [(batch_id(epoch_no, lo), batch_id(epoch_no, hi)) for lo, hi in missing]
        saved = replace(saved, settled=ranges.subtract(saved.settled, keys))

        def body(db: sqlite3.Connection) -> Written | None:
            stored = rows.select_stored(db, epoch_no, missing)
            urgent = [seq for seq in rows.select_urgent(db, epoch_no) if ranges.contains(stored.seqs, seq)]
            gone = ranges.subtract(missing, stored.seqs)
            if not gone:
                return Written(None, stored=stored, urgent=urgent)
            saved.totals.hold(stored.nbytes, stored.samples)
            why = "acknowledged once, missing at the centre, and no longer retained here"
            loss = self.loss(LossReason.CENTRE_FORGOT, epoch_no, gone, why)
            written = self.write_off(db, saved, name, epoch_no, gone, [loss])
            return replace(written, stored=stored, urgent=urgent)

        def applied(written: Written) -> None:
            ledger.unsettle(epoch_no, missing)
            self.state.changes += 1
            if epoch_no == ledger.current.no:
                self.state.urgent |= set(written.urgent)
            if written.stored is not None:
                self.state.totals.hold(written.stored.nbytes, written.stored.samples)
            self.apply(written)

        return Amendment((epoch_no, missing), body, applied)

    def rename(self, epoch_no: int, seqs: Ranges) -> Amendment | None:
        """The sink knows these names with other content: the held batches among them move to a new epoch.

        No others: those the sink may have under their names already, and would have twice.
        """
        state = self.state
        moved = ranges.intersect(state.ledger.held(epoch_no), seqs)
        if not moved:
            return None
        if state.ledger.epochs[epoch_no].begun_here:
            # Its id is a random number of this process: the answer is wrong, and each try would rewrite
            # the whole backlog.
            logger.error("a conflict over names that nobody else can have used", epoch=epoch_no)
            return None
        saved, _, _ = self.begin(epoch_no, moved)
        epoch = recovery.next_epoch(state.ledger, self.identity, self.clock.wall_ms())
        watched = state.ledger.records_among(epoch_no, moved)

        def body(db: sqlite3.Connection) -> Written | None:
            rows.insert_epoch(db, epoch, "seq_conflict")
            there, places = rows.rename(db, epoch_no, moved, epoch.no, watched)
            count = ranges.size(there)
            saved.totals.newest = max(saved.totals.newest, batch_id(epoch.no, count))
            why = "the centre knows these names with other content: the batches go on under new ones"
            records = [self.loss(LossReason.RENAMED, epoch_no, there, why, connections=())]
            gone = ranges.subtract(moved, there)
            if gone:
                text = "not in the database any more"
                records.append(self.loss(LossReason.UNREADABLE, epoch_no, gone, text))
            names = {(epoch_no, old): (epoch.no, new) for old, new in places.items()}
            written = self.write_off(db, saved, (epoch.no, count + 1), epoch_no, moved, records, names)
            return replace(written, urgent=rows.select_urgent(db, epoch.no))

        def applied(written: Written) -> None:
            state.moved(epoch, written.urgent)
            self.apply(written)

        return Amendment((epoch_no, moved), body, applied)

    # --- what they share, with `room` too ---------------------------------------------------------

    def begin(self, epoch_no: int, seqs: Ranges) -> tuple[Saved, tuple[int, int], list[Loss]]:
        saved = self.state.saved()
        return saved, self.state.next_name(), self.lost_records(saved, epoch_no, seqs)

    def lost_records(self, saved: Saved, epoch_no: int, seqs: Ranges) -> list[Loss]:
        """Records anew, of what was written off by records among `seqs`."""
        return [
            self.loss(LossReason.UNREADABLE, entry.epoch_no, entry.seqs, "its first record was lost")
            for entry in saved.written_off
            if entry.record_epoch == epoch_no and ranges.contains(seqs, entry.record_seq)
        ]

    def loss(self, reason: LossReason, epoch_no: int, seqs: Ranges, detail: str, **counted: Any) -> Loss:
        name = self._epoch_ids[epoch_no]
        return losses.of_batches(reason, name, seqs, self.clock.wall_ms(), detail, **counted)

    def write_off(
        self,
        db: sqlite3.Connection,
        saved: Saved,
        name: tuple[int, int],
        epoch_no: int,
        seqs: Ranges,
        records: Sequence[Loss | Mapping[str, Any]],
        names: Names | None = None,
    ) -> Written:
        """Stores the records under `name`. Older records among `seqs` live on in the new one."""
        sealed = seal_losses(self.identity.origin, records, self.clock.wall_ms())
        rows.insert_batches(db, *name, [sealed])
        if names is None:
            names = {
                (epoch_no, entry.record_seq): name
                for entry in saved.written_off
                if entry.record_epoch == epoch_no and ranges.contains(seqs, entry.record_seq)
            }
        off = WrittenOff(epoch_no, seqs, *name)
        saved = replace(saved, written_off=[*follow(saved.written_off, names), off])
        return Written(saved, self.save(db, saved), (*name, sealed), (off,), names)

    @staticmethod
    def save(db: sqlite3.Connection, saved: Saved) -> tuple[int, int]:
        unsized = rows.sizes(db, saved.unsized)
        saved.totals.release(*unsized)
        rows.save(db, saved)
        return unsized

    def _apply_released(self, written: Written) -> None:
        if written.stored is not None:
            self.state.totals.release(written.stored.nbytes, written.stored.samples)
        self.apply(written)

    def apply(self, written: Written) -> None:
        state = self.state
        state.ledger.written_off = [*follow(state.ledger.written_off, written.names or {}), *written.off]
        for entry in written.off:
            state.left(entry.epoch_no, entry.seqs)
        if written.saved is not None:
            state.was_saved(written.saved, written.unsized)
        if written.record is not None:
            epoch_no, seq, batch = written.record
            state.committed(epoch_no, [(seq, batch)], self.clock.monotonic())


def contents(
    db: sqlite3.Connection, epoch_no: int, seq: int, groups: Groups
) -> tuple[list[LossConnection] | None, Sequence[Loss | Mapping[str, Any]] | None]:
    """What a batch holds by group, and the loss records in it; each None where it cannot be read."""
    try:
        [item] = rows.select_items(db, epoch_no, [(seq, seq)], 1)
        opened = Batch.open(item.body, item.codec, item.raw_bytes)
        connections = losses.contents(opened.contents(), groups.of, opened.origin.run)
        return connections, opened.records(Kind.LOSS)
    except ValueError:  # WireError, or no such row
        return None, None
