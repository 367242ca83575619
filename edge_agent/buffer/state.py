"""What the buffer knows in memory: the ledger, sums, and the newest bodies. It mirrors the database.

Changed on the event loop only, and only after the commit that a change follows; the writer's thread gets
copies (`Saved`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, batch_id
from edge_agent.wire import ranges
from edge_agent.wire.batch import EncodedBatch, Kind
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

_RECENT_BYTES: Final = 2 << 20
_URGENT: Final = Kind.LOSS | Kind.EVENT


@dataclass(slots=True)
class Totals:
    """Sums over the batch table that are too dear to compute at a start: kept with the settled ranges.

    They count the rows up to `newest` (a primary key); a start adds the few rows behind it.
    """

    newest: int = 0
    stored_batches: int = 0
    stored_bytes: int = 0
    pending_batches: int = 0
    pending_bytes: int = 0
    pending_samples: int = 0

    def store(self, key: int, nbytes: int, samples: int) -> None:
        self.newest = max(self.newest, key)
        self.stored_batches += 1
        self.stored_bytes += nbytes
        self.hold(nbytes, samples)

    def hold(self, nbytes: int, samples: int) -> None:
        self.pending_batches += 1
        self.pending_bytes += nbytes
        self.pending_samples += samples

    def deliver(self, nbytes: int, samples: int) -> None:
        self.pending_batches -= 1
        self.pending_bytes -= nbytes
        self.pending_samples -= samples

    def pruned(self, batches: int, nbytes: int) -> None:
        self.stored_batches -= batches
        self.stored_bytes -= nbytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What the writer's thread puts on disk: a copy, so that the event loop may go on meanwhile.

    settled: ranges of primary keys, ascending. next_seqs: (next seq, epoch number).
    """

    settled: list[tuple[int, int]]
    next_seqs: list[tuple[int, int]]
    written_off: list[WrittenOff]
    totals: Totals


class BufferState:
    def __init__(self, ledger: Ledger, totals: Totals, urgent: Sequence[int]) -> None:
        self.ledger = ledger
        self.totals = totals
        self.urgent = set(urgent)
        self.unsaved = False
        self._recent: OrderedDict[tuple[int, int], tuple[BatchItem, float]] = OrderedDict()
        self._recent_bytes = 0
        self._sent: dict[tuple[int, int], tuple[int, int]] = {}

    def committed(self, seq: int, batch: EncodedBatch, now: float) -> None:
        """A new batch of the current epoch is on disk."""
        epoch = self.ledger.current
        epoch.next_seq = seq + 1
        self.totals.store(batch_id(epoch.no, seq), len(batch.body), batch.samples)
        if batch.kind & _URGENT:
            self.urgent.add(seq)
        self._remember(epoch.no, seq, batch, now)

    def _remember(self, epoch_no: int, seq: int, batch: EncodedBatch, now: float) -> None:
        """Keeps the newest bodies, so that the live lane need not read what was just written."""
        item = BatchItem(
            seq, int(batch.kind), int(batch.codec), batch.raw_bytes, batch.samples,
            batch.t0, batch.t1, batch.hash, batch.body,
        )  # fmt: skip
        self._recent[epoch_no, seq] = (item, now)
        self._recent_bytes += len(batch.body)
        while self._recent_bytes > _RECENT_BYTES and len(self._recent) > 1:
            _, (old, _) = self._recent.popitem(last=False)
            self._recent_bytes -= len(old.body)

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        entry = self._recent.get((epoch_no, seq))
        return None if entry is None else entry[1]

    def recent(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        """The first of `wanted` as far as they are in memory without a hole."""
        items: list[BatchItem] = []
        total = 0
        for lo, hi in wanted:
            for seq in range(lo, hi + 1):
                entry = self._recent.get((epoch_no, seq))
                if entry is None:
                    return items
                total += len(entry[0].body)
                if items and total > max_bytes:
                    return items
                items.append(entry[0])
        return items

    def fetched(self, epoch_no: int, items: Sequence[BatchItem]) -> None:
        """Sizes are kept while a batch is on its way, to be subtracted when it is acknowledged."""
        for item in items:
            self._sent[epoch_no, item.seq] = (len(item.body), item.samples)

    def settle(self, epoch_no: int, acked: Ranges) -> int:
        news = self.ledger.settle(epoch_no, acked)
        for lo, hi in news:
            for seq in range(lo, hi + 1):
                self.withdraw(epoch_no, seq)
        self.unsaved = self.unsaved or bool(news)
        return ranges.size(news)

    def withdraw(self, epoch_no: int, seq: int) -> None:
        """The batch is not pending any more."""
        nbytes, samples = self._sent.pop((epoch_no, seq), (0, 0))
        self.totals.deliver(nbytes, samples)
        if epoch_no == self.ledger.current.no:
            self.urgent.discard(seq)

    def moved(self, epoch: Epoch, urgent: Sequence[int]) -> None:
        """Undelivered batches have new names in `epoch`: what was kept under the old ones is void."""
        self.ledger.epochs[epoch.no] = epoch
        self.urgent = set(urgent)
        self._recent.clear()
        self._recent_bytes = 0
        self._sent.clear()

    def first_held(self) -> int:
        """Primary key of the first undelivered batch, or of the next one to come."""
        for no in self.ledger.open_epochs():
            held = self.ledger.held(no)
            if held:
                return batch_id(no, held[0][0])
        return batch_id(self.ledger.current.no, self.ledger.current.next_seq)

    def saved(self, also_written_off: Sequence[WrittenOff] = ()) -> Saved:
        epochs = self.ledger.epochs.values()
        settled = [
            (batch_id(epoch.no, lo), batch_id(epoch.no, hi)) for epoch in epochs for lo, hi in epoch.settled
        ]
        return Saved(
            sorted(settled),
            [(epoch.next_seq, epoch.no) for epoch in epochs],
            [*self.ledger.written_off, *also_written_off],
            replace(self.totals),
        )
