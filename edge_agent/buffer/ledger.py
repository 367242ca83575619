"""The accounting of batches in memory: epochs, what is delivered, what is written off. Pure.

Of each epoch: batches are [1, next). A seq is `settled` when the sink acknowledged it, or when it lies in
a loss record that the sink acknowledged. `floor` is the first seq that is not settled; what the head
promises follows from that alone. A seq that was written off is not sent any more, but it is not settled
before its loss record is delivered.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges

SEQ_BITS: Final = 40
# Delivered records that are remembered. Who asks again for what an older one names gets another record.
_TOLD: Final = 1_000


def batch_id(epoch_no: int, seq: int) -> int:
    """The primary key of a batch."""
    return epoch_no << SEQ_BITS | seq


def split_id(key: int) -> tuple[int, int]:
    """(epoch number, seq) of a primary key."""
    return key >> SEQ_BITS, key & (1 << SEQ_BITS) - 1


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """Seqs of an epoch that will never be delivered, and the batch that carries their loss record."""

    epoch_no: int
    seqs: Ranges
    record_epoch: int
    record_seq: int


@dataclass(slots=True)
class Epoch:
    """begun_here: by this process, so that nobody else can have used its names. local: its batches were
    stored while there was no centre, and are never promised to one."""

    no: int
    id: str
    next_seq: int
    boot_id: str
    machine: str
    settled: Ranges = field(default_factory=list)
    begun_here: bool = False
    local: bool = False


def follow(
    written_off: Iterable[WrittenOff], moved: Mapping[tuple[int, int], tuple[int, int]]
) -> list[WrittenOff]:
    """The entries with their loss records under new names: `moved` is old (epoch, seq) → new.

    Entries of one epoch with one record become one.
    """
    result: dict[tuple[int, int, int], WrittenOff] = {}
    for entry in written_off:
        name = entry.record_epoch, entry.record_seq
        epoch_no, seq = moved.get(name, name)
        key = entry.epoch_no, epoch_no, seq
        before = result.get(key)
        seqs = entry.seqs if before is None else ranges.union(before.seqs, entry.seqs)
        result[key] = replace(entry, seqs=seqs, record_epoch=epoch_no, record_seq=seq)
    return list(result.values())


class Ledger:
    """All epochs that the database names, and what one sink has of them."""

    def __init__(self) -> None:
        self.epochs: dict[int, Epoch] = {}
        self.written_off: list[WrittenOff] = []
        self._told: deque[WrittenOff] = deque(maxlen=_TOLD)

    @property
    def current(self) -> Epoch:
        return self.epochs[max(self.epochs)]

    def held(self, epoch_no: int) -> Ranges:
        """Stored and still to be sent."""
        epoch = self.epochs.get(epoch_no)
        if epoch is None or epoch.next_seq == 1:
            return []
        off = self.off(epoch_no)
        gone = ranges.union(epoch.settled, off) if off else epoch.settled
        return ranges.subtract([(1, epoch.next_seq - 1)], gone)

    def off(self, epoch_no: int) -> Ranges:
        """Written off, with a loss record that is not yet delivered."""
        return [pair for entry in self.written_off if entry.epoch_no == epoch_no for pair in entry.seqs]

    def held_count(self) -> int:
        return sum(ranges.size(self.held(no)) for no in self.epochs)

    def floor(self, epoch_no: int) -> int:
        settled = self.epochs[epoch_no].settled
        return settled[0][1] + 1 if settled and settled[0][0] == 1 else 1

    def settle(self, epoch_no: int, acked: Ranges) -> Ranges:
        """Marks as delivered. Returns the seqs that were held until now."""
        epoch = self.epochs.get(epoch_no)
        if epoch is None:
            return []
        known = ranges.intersect(acked, [(1, epoch.next_seq - 1)])
        news = ranges.intersect(known, self.held(epoch_no))
        epoch.settled = ranges.union(epoch.settled, known)
        for entry in list(self.written_off):
            if entry.record_epoch == epoch_no and ranges.contains(known, entry.record_seq):
                self.written_off.remove(entry)
                self._told.append(entry)
                lost_in = self.epochs.get(entry.epoch_no)
                if lost_in is not None:
                    lost_in.settled = ranges.union(lost_in.settled, entry.seqs)
        return news

    def unsettle(self, epoch_no: int, missing: Ranges) -> None:
        """The sink lost what it once acknowledged."""
        epoch = self.epochs[epoch_no]
        epoch.settled = ranges.subtract(epoch.settled, missing)

    def told(self, epoch_no: int, missing: Ranges) -> Ranges:
        """Those of `missing` that a delivered record of this process names: the sink asks in error.

        Not where the record is missing too, or was written off itself: then the sink never had it, or has
        lost it for good.
        """
        found: Ranges = []
        for entry in self._told:
            named = ranges.intersect(entry.seqs, missing) if entry.epoch_no == epoch_no else []
            asked = entry.record_epoch == epoch_no and ranges.contains(missing, entry.record_seq)
            if named and not asked and not self._is_written_off(entry.record_epoch, entry.record_seq):
                found = ranges.union(found, named)
        return found

    def _is_written_off(self, epoch_no: int, seq: int) -> bool:
        return any(
            entry.epoch_no == epoch_no and ranges.contains(entry.seqs, seq)
            for entries in (self.written_off, self._told)
            for entry in entries
        )

    def records_among(self, epoch_no: int, seqs: Ranges) -> set[int]:
        """Those of `seqs` that carry the loss record of something written off."""
        return {
            entry.record_seq
            for entry in self.written_off
            if entry.record_epoch == epoch_no and ranges.contains(seqs, entry.record_seq)
        }

    def known_epochs(self) -> list[int]:
        """Numbers of the epochs to announce, the current one last: all that are stored here.

        Those that are done too: a centre that was restored from a backup may lack what it acknowledged,
        and asks for it only where it is told that the epoch exists.
        """
        if not self.epochs:
            return []
        current = self.current.no
        return [
            *sorted(no for no, epoch in self.epochs.items() if no != current and not epoch.local),
            current,
        ]

    def open_epochs(self) -> list[int]:
        """Numbers of the epochs with anything unsettled, and the current one last."""
        current = self.current.no
        return [*sorted(no for no in self.epochs if no != current and not self.is_done(no)), current]

    def is_done(self, epoch_no: int) -> bool:
        """Whether all of an epoch is settled, and nothing that is not names it."""
        named = any(epoch_no in (entry.epoch_no, entry.record_epoch) for entry in self.written_off)
        return not named and self.floor(epoch_no) == self.epochs[epoch_no].next_seq

    def forget(self, stored: Sequence[int]) -> list[int]:
        """Drops the epochs, other than the current one, that are done and of which nothing is stored.

        stored: numbers of the epochs with any batch in the database. Returns what was dropped.
        """
        current = self.current.no
        gone = [no for no in self.epochs if no != current and no not in stored and self.is_done(no)]
        for no in gone:
            del self.epochs[no]
        return gone
