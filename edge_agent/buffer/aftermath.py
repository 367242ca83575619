"""The account of a salvage: which names are gone, and what the sink is told of them.

Part of the transaction that begins a run, so that a start that dies half way finds the salvage's note
again. What cannot be read is lost as far as it was not delivered; a loss record among it is written anew.
"""

import sqlite3
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.buffer import losses, rows, salvage
from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, batch_id, follow
from edge_agent.buffer.salvage import Found
from edge_agent.buffer.state import Totals
from edge_agent.wire import ranges
from edge_agent.wire.messages import Event, Loss, LossReason
from edge_agent.wire.ranges import Ranges

# Why a new epoch begins.
WHY: Final = "salvage"
# Ranges in one record: a batch holds a record whole.
_RECORD_RANGES: Final = 10_000
_UNREADABLE: Final = "could not be read from the damaged database"
_NO_ROOM: Final = "the disk had no room to take all of the damaged database over"


@dataclass(slots=True)
class Aftermath:
    """What begins with this run. off: by epoch number, what the records write off."""

    losses: list[Loss] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    off: list[tuple[int, Ranges]] = field(default_factory=list)
    salvaged: Found | None = None

    def write_off(self, ledger: Ledger, record: tuple[int, int]) -> None:
        """The records are in the batch of this name; older ones that were lost live on in it."""
        lost = dict(self.off)
        moved = {
            (entry.record_epoch, entry.record_seq): record
            for entry in ledger.written_off
            if ranges.contains(lost.get(entry.record_epoch, ()), entry.record_seq)
        }
        new = [WrittenOff(no, seqs, *record) for no, seqs in self.off]
        ledger.written_off = [*follow(ledger.written_off, moved), *new]


def assess(db: sqlite3.Connection, ledger: Ledger, wall_ms: int, *, known: bool) -> Aftermath:
    """What a salvage or the loss of a database left to account for; mostly nothing.

    known: earlier runs left something, although the database knows of none.
    """
    result = Aftermath()
    note = rows.get_state(db, salvage.PENDING)
    lost = rows.get_state(db, salvage.LOST) is True or (known and not ledger.epochs)
    db.execute("DELETE FROM state WHERE key = ?", (salvage.LOST,))
    if note is None:
        if lost:
            text = "the buffer's database was gone: what it held and had not been delivered is lost"
            result.events.append(Event(time=wall_ms, code="buffer_lost", message=text))
        return result
    found = result.salvaged = Found.from_json(note)
    salvage.accounted(db, found)
    for epoch in ledger.epochs.values():
        # Whatever was seen of a row is a name that was given.
        behind = (key for key in found.damaged if batch_id(epoch.no, 0) < key < batch_id(epoch.no + 1, 0))
        epoch.next_seq = max(epoch.next_seq, max(behind, default=0) - batch_id(epoch.no, 0) + 1)
        held = ledger.held(epoch.no)
        gone = ranges.subtract(held, rows.select_stored(db, epoch.no, held).seqs)
        if gone:
            result.off.append((epoch.no, gone))
            result.losses += _records(ledger, epoch, gone, found, wall_ms)
    if found.nameless:
        text = f"{found.nameless} batches of an epoch whose id could not be read"
        result.losses.append(
            losses.of_batches(LossReason.UNREADABLE, "", [], wall_ms, text, most=found.nameless_samples)
        )
    result.events.append(_event(found, result.off, wall_ms))
    return result


def _records(ledger: Ledger, epoch: Epoch, gone: Ranges, found: Found, wall_ms: int) -> list[Loss]:
    records: list[Loss] = []
    for start in range(0, len(gone), _RECORD_RANGES):
        part = gone[start : start + _RECORD_RANGES]
        keys = [key for key in found.damaged if _within(epoch.no, part, key)]
        unknown = ranges.size(part) - len(keys)
        # Of a row without a trace the most that it can be is what the largest of the others held.
        most: int | None = sum(found.damaged[key] for key in keys) + unknown * found.most
        if unknown and not found.most:
            most = None
        why = _NO_ROOM if found.full else _UNREADABLE
        records.append(losses.of_batches(LossReason.UNREADABLE, epoch.id, part, wall_ms, why, most=most))
    for entry in ledger.written_off:
        lost_in = ledger.epochs.get(entry.epoch_no)
        if entry.record_epoch == epoch.no and ranges.contains(gone, entry.record_seq) and lost_in:
            text = "its first record was lost"
            records.append(losses.of_batches(LossReason.UNREADABLE, lost_in.id, entry.seqs, wall_ms, text))
    return records


def _within(epoch_no: int, seqs: Ranges, key: int) -> bool:
    return any(batch_id(epoch_no, lo) <= key <= batch_id(epoch_no, hi) for lo, hi in seqs)


def _event(found: Found, off: list[tuple[int, Ranges]], wall_ms: int) -> Event:
    gone = sum(ranges.size(seqs) for _, seqs in off) + found.nameless
    data: dict[str, Any] = {"quarantine": found.names, "batches": found.batches, "unreadable": gone}
    text = (
        f"the buffer's database was damaged ({found.why}): {found.batches} batches were taken over, "
        f"{gone} undelivered ones could not be read; the damaged file is kept beside it"
    )
    return Event(time=wall_ms, code="buffer_salvaged", message=text[:2_000], data=data)


def totals(db: sqlite3.Connection, ledger: Ledger) -> Totals:
    """The sums anew, from all rows."""
    batches, nbytes, newest = rows.sum_batches(db)
    held = [(batch_id(no, lo), batch_id(no, hi)) for no in ledger.epochs for lo, hi in ledger.held(no)]
    return Totals(newest, batches, nbytes, *rows.sizes(db, held))
