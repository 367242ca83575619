"""What the buffer knows in memory: the ledger, sums, and the newest batches. It mirrors the database.

Changed on the event loop only, and only after the commit that a change follows; the writer's thread gets
copies (`Saved`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, batch_id
from edge_agent.buffer.recent import Recent
from edge_agent.wire import ranges
from edge_agent.wire.batch import EncodedBatch, Kind
from edge_agent.wire.ranges import Ranges

_URGENT: Final = Kind.LOSS | Kind.EVENT


@dataclass(slots=True)
class Totals:
    """Sums over the batch table that are too dear to compute at a start: kept with the settled ranges.

    They count the rows up to `newest` (a primary key); a start adds the few rows behind it. `pending`
    are the held ones; how many those are, the ledger knows.
    """

    newest: int = 0
    stored_batches: int = 0
    stored_bytes: int = 0
    pending_bytes: int = 0
    pending_samples: int = 0

    def store(self, key: int, nbytes: int) -> None:
        self.newest = max(self.newest, key)
        self.stored_batches += 1
        self.stored_bytes += nbytes

    def hold(self, nbytes: int, samples: int) -> None:
        self.pending_bytes += nbytes
        self.pending_samples += samples

    def release(self, nbytes: int, samples: int) -> None:
        self.pending_bytes -= nbytes
        self.pending_samples -= samples

    def prune(self, batches: int, nbytes: int) -> None:
        self.stored_batches -= batches
        self.stored_bytes -= nbytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What the writer's thread puts on disk: a copy, so that the event loop may go on meanwhile.

    settled, unsized: ranges of primary keys, ascending. unsized: what was settled without its sizes being
    known, so that `totals` still has it as pending. next_seqs: (next seq, epoch number). change: the
    state's number of changes that this is a copy of.
    """

    settled: list[tuple[int, int]]
    unsized: list[tuple[int, int]]
    next_seqs: list[tuple[int, int]]
    written_off: list[WrittenOff]
    totals: Totals
    change: int


@dataclass(slots=True)
class BufferState:
    """has_sink: without a sink a batch counts as delivered as soon as it is stored.

    urgent: held seqs of the current epoch that hold losses or events. frozen: names whose account is
    being rewritten right now; an acknowledgement of them is forgotten, which only sends again.
    """

    ledger: Ledger
    totals: Totals
    has_sink: bool = True
    urgent: set[int] = field(default_factory=set)
    recent: Recent = field(default_factory=Recent)
    frozen: tuple[int, Ranges] = (0, [])
    changes: int = 0
    saved_changes: int = 0
    unsized: Ranges = field(default_factory=list)

    @property
    def unsaved(self) -> bool:
        return self.changes != self.saved_changes

    def next_name(self) -> tuple[int, int]:
        """(epoch number, seq) of the next batch."""
        epoch = self.ledger.current
        return epoch.no, epoch.next_seq

    def committed(self, epoch_no: int, sealed: Iterable[tuple[int, EncodedBatch]], now: float) -> None:
        """New batches of the current epoch are on disk."""
        for seq, batch in sealed:
            self.ledger.epochs[epoch_no].next_seq = seq + 1
            self.totals.store(batch_id(epoch_no, seq), len(batch.body))
            self.changes += 1
            if not self.has_sink:
                self.ledger.settle(epoch_no, [(seq, seq)])
                continue
            self.totals.hold(len(batch.body), batch.samples)
            self.recent.add(epoch_no, seq, batch, now)
            if batch.kind & _URGENT:
                self.urgent.add(seq)

    def settle(self, epoch_no: int, acked: Ranges) -> int:
        """The sink has these. Returns for how many batches that is news."""
        frozen_no, frozen = self.frozen
        if epoch_no == frozen_no:
            acked = ranges.subtract(acked, frozen)
        news = self.ledger.settle(epoch_no, acked)
        for lo, hi in news:
            for seq in range(lo, hi + 1):
                size = self.recent.take_size(epoch_no, seq)
                if size is None:
                    key = batch_id(epoch_no, seq)
                    self.unsized = ranges.union(self.unsized, [(key, key)])
                else:
                    self.totals.release(*size)
        self.left(epoch_no, news)
        return ranges.size(news)

    def left(self, epoch_no: int, seqs: Ranges) -> None:
        """These are not to be sent any more."""
        self.changes += bool(seqs)
        if epoch_no == self.ledger.current.no and self.urgent:
            self.urgent -= {seq for seq in self.urgent if ranges.contains(seqs, seq)}

    def moved(self, epoch: Epoch, urgent: Sequence[int]) -> None:
        """Held batches have new names in `epoch`: what was kept under the old ones is void."""
        self.ledger.epochs[epoch.no] = epoch
        self.urgent = set(urgent)
        self.recent.clear()
        self.changes += 1

    def first_held(self) -> int:
        """Primary key of the first batch that is to be sent, or of the next one to come."""
        for no in self.ledger.open_epochs():
            held = self.ledger.held(no)
            if held:
                return batch_id(no, held[0][0])
        return batch_id(*self.next_name())

    def saved(self) -> Saved:
        epochs = self.ledger.epochs.values()
        settled = [
            (batch_id(epoch.no, lo), batch_id(epoch.no, hi)) for epoch in epochs for lo, hi in epoch.settled
        ]
        return Saved(
            sorted(settled),
            list(self.unsized),
            [(epoch.next_seq, epoch.no) for epoch in epochs],
            list(self.ledger.written_off),
            replace(self.totals),
            self.changes,
        )

    def was_saved(self, saved: Saved, released: tuple[int, int]) -> None:
        """`saved` is on disk; released: bytes and samples of what it named as unsized."""
        self.saved_changes = saved.change
        self.unsized = ranges.subtract(self.unsized, saved.unsized)
        self.totals.release(*released)
