"""Amendments that make room on the disk: what goes first, and its account.

Delivered batches go before held ones, the oldest first. What is dropped and the record of it are one
transaction. Loss records among the dropped live on in the new one, so that their number stays bounded.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.buffer import losses, rows
from edge_agent.buffer.amendments import Amendment, Amendments, Written, contents
from edge_agent.buffer.groups import Groups
from edge_agent.buffer.ledger import batch_id, split_id
from edge_agent.buffer.state import Saved
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Loss, LossConnection, LossReason
from edge_agent.wire.ranges import Ranges

_WHY = "the oldest batches made room for new ones"


@dataclass(slots=True)
class _Gone:
    """What is deleted of one epoch. held: of it, what was to be sent still."""

    epoch_no: int = 0
    seqs: Ranges = field(default_factory=list)
    held: Ranges = field(default_factory=list)
    batches: int = 0
    nbytes: int = 0
    held_bytes: int = 0
    held_samples: int = 0
    counted: Ranges = field(default_factory=list)
    connections: list[LossConnection] = field(default_factory=list)
    uncounted: Ranges = field(default_factory=list)
    most: int = 0
    carried: list[Loss | Mapping[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Freed:
    """What one try deleted. batches 0: there was nothing to delete. held_…: never delivered."""

    batches: int = 0
    nbytes: int = 0
    held_bytes: int = 0
    held_samples: int = 0


class Room:
    """Prepares the two amendments for one try; `freed` tells afterwards what came of it."""

    def __init__(self, amendments: Amendments, nbytes: int) -> None:
        self._amendments = amendments
        self._state = amendments.state
        self._nbytes = nbytes
        self._name = amendments.state.next_name()
        self.freed = Freed()

    def drop(self, *, held: bool) -> Amendment | None:
        """The oldest go until `nbytes` of bodies are free: delivered ones, then what was written off and is
        kept to be looked at, then, where `held` ones may go, those of one epoch."""
        ledger = self._state.ledger
        saved, _, _ = self._amendments.begin(0, [])
        numbers = sorted(ledger.epochs)
        no = next((no for no in numbers if ledger.held(no)), 0) if held else 0
        owed = ledger.held(no)
        aside = [(each, off) for each in numbers if (off := ledger.off(each))]

        def body(db: sqlite3.Connection) -> Written | None:
            self._prune(db, saved)
            for each, off in aside:
                gone = self._choose(db, each, [], off, self._lacking, saved)
                rows.delete_batches(db, each, gone.seqs)
                self._note(saved, Freed(gone.batches, gone.nbytes))
            gone = self._choose(db, no, owed, [], self._lacking, saved)
            if gone.batches:
                return self._delete(db, saved, gone)
            return Written(saved, self._amendments.save(db, saved)) if self.freed.batches else None

        return Amendment((no, owed), body, self._applied)

    @property
    def _lacking(self) -> int:
        return self._nbytes - self.freed.nbytes

    def _prune(self, db: sqlite3.Connection, saved: Saved) -> None:
        """Until there is enough, or nothing delivered is left: what was not delivered comes after that."""
        more = True
        while more:
            pruned = rows.prune(db, saved.settled, old=0, excess=self._lacking, keep=saved.totals.newest)
            self._note(saved, Freed(pruned.batches, pruned.nbytes))
            more = pruned.more

    def fold(self) -> Amendment | None:
        """The batches of the newest epoch that hold nothing but loss records become one."""
        saved, _, _ = self._amendments.begin(0, [])
        no = self._state.ledger.current.no
        held = self._state.ledger.held(no)

        def body(db: sqlite3.Connection) -> Written | None:
            gone = self._choose(db, no, held, [], 1 << 62, saved, kind=Kind.LOSS)
            return self._delete(db, saved, gone) if gone.batches > 1 else None

        return Amendment((no, held), body, self._applied)

    def _note(self, saved: Saved, freed: Freed) -> None:
        saved.totals.prune(freed.batches, freed.nbytes)
        saved.totals.release(freed.held_bytes, freed.held_samples)
        self.freed.batches += freed.batches
        self.freed.nbytes += freed.nbytes
        self.freed.held_bytes += freed.held_bytes
        self.freed.held_samples += freed.held_samples

    def _applied(self, written: Written) -> None:
        self._state.totals.prune(self.freed.batches, self.freed.nbytes)
        self._state.totals.release(self.freed.held_bytes, self.freed.held_samples)
        self._amendments.apply(written)

    def _choose(
        self,
        db: sqlite3.Connection,
        epoch_no: int,
        held: Ranges,
        aside: Ranges,
        nbytes: int,
        saved: Saved,
        kind: Kind | None = None,
    ) -> _Gone:
        """The oldest rows of an epoch, as many as it takes. aside: written off, and kept to be looked at."""
        gone = _Gone(epoch_no)
        groups = Groups(db)
        for seq, size, samples in self._rows(db, epoch_no, ranges.union(held, aside), kind):
            if gone.nbytes >= nbytes or batch_id(epoch_no, seq) == saved.totals.newest:
                break
            gone.seqs.append((seq, seq))
            gone.batches += 1
            gone.nbytes += size
            if ranges.contains(held, seq):
                self._account(db, gone, seq, (size, samples), saved, groups)
        gone.seqs = ranges.coalesce(gone.seqs)
        gone.held = ranges.union(gone.counted, gone.uncounted)
        return gone

    @staticmethod
    def _rows(
        db: sqlite3.Connection, epoch_no: int, seqs: Ranges, kind: Kind | None
    ) -> Iterator[tuple[int, int, int]]:
        keys = [(batch_id(epoch_no, lo), batch_id(epoch_no, hi)) for lo, hi in seqs]
        for key, _, size, samples in rows.select_sizes(db, keys, None if kind is None else int(kind)):
            yield split_id(key)[1], size, samples

    def _account(
        self,
        db: sqlite3.Connection,
        gone: _Gone,
        seq: int,
        sums: tuple[int, int],
        saved: Saved,
        groups: Groups,
    ) -> None:
        size, samples = sums
        gone.held_bytes += size
        gone.held_samples += samples
        connections, carried = contents(db, gone.epoch_no, seq, groups)
        if connections is None:
            gone.uncounted.append((seq, seq))
            gone.most += samples
        else:
            gone.counted.append((seq, seq))
            gone.connections += connections
        if carried is None:
            carried = self._amendments.lost_records(saved, gone.epoch_no, [(seq, seq)])
        gone.carried += carried

    def _delete(self, db: sqlite3.Connection, saved: Saved, gone: _Gone) -> Written:
        rows.delete_batches(db, gone.epoch_no, gone.seqs)
        self._note(saved, Freed(gone.batches, gone.nbytes, gone.held_bytes, gone.held_samples))
        if not gone.held:
            return Written(saved, self._amendments.save(db, saved))
        loss = self._amendments.loss
        records: list[Loss | Mapping[str, Any]] = []
        if gone.counted:
            records.append(
                loss(LossReason.QUOTA, gone.epoch_no, gone.counted, _WHY, connections=gone.connections)
            )
        if gone.uncounted:
            records.append(loss(LossReason.QUOTA, gone.epoch_no, gone.uncounted, _WHY, most=gone.most))
        merged = losses.merge([*records, *gone.carried])
        return self._amendments.write_off(db, saved, self._name, gone.epoch_no, gone.held, merged)
