"""The accounting of batches in memory: epochs, what is delivered, what is written off. Pure.

Of each epoch: batches are [1, next). A seq is `settled` when the sink acknowledged it, or when it lies in
a loss record that the sink acknowledged. `floor` is the first seq that is not settled; what the head
promises follows from that alone. A seq that was written off is not sent any more, but it is not settled
before its loss record is delivered.
"""

from dataclasses import dataclass, field

from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges

SEQ_BITS = 40


def batch_id(epoch_no: int, seq: int) -> int:
    """The primary key of a batch."""
    return epoch_no << SEQ_BITS | seq


def split_id(key: int) -> tuple[int, int]:
    """(epoch number, seq) of a primary key."""
    return key >> SEQ_BITS, key & (1 << SEQ_BITS) - 1


@dataclass(slots=True)
class WrittenOff:
    """Seqs of an epoch that will never be delivered, and the batch that carries their loss record."""

    epoch_no: int
    seqs: Ranges
    record_epoch: int
    record_seq: int


@dataclass(slots=True)
class Epoch:
    no: int
    id: str
    next_seq: int
    boot_id: str
    machine: str
    settled: Ranges = field(default_factory=list)


class Ledger:
    """All epochs that the database names, and what one sink has of them."""

    def __init__(self) -> None:
        self.epochs: dict[int, Epoch] = {}
        self.written_off: list[WrittenOff] = []

    @property
    def current(self) -> Epoch:
        return self.epochs[max(self.epochs)]

    def held(self, epoch_no: int) -> Ranges:
        """Stored and still to be sent."""
        epoch = self.epochs.get(epoch_no)
        if epoch is None or epoch.next_seq == 1:
            return []
        gone = epoch.settled
        off = [pair for entry in self.written_off if entry.epoch_no == epoch_no for pair in entry.seqs]
        return ranges.subtract([(1, epoch.next_seq - 1)], ranges.union(gone, off) if off else gone)

    def floor(self, epoch_no: int) -> int:
        epoch = self.epochs[epoch_no]
        settled = epoch.settled
        return settled[0][1] + 1 if settled and settled[0][0] == 1 else 1

    def settle(self, epoch_no: int, acked: Ranges) -> Ranges:
        """Marks as delivered. Returns the seqs for which that is news."""
        epoch = self.epochs.get(epoch_no)
        if epoch is None:
            return []
        known = ranges.intersect(acked, [(1, epoch.next_seq - 1)])
        news = ranges.subtract(known, epoch.settled)
        epoch.settled = ranges.union(epoch.settled, news)
        for entry in list(self.written_off):
            if entry.record_epoch == epoch_no and ranges.contains(news, entry.record_seq):
                self.written_off.remove(entry)
                lost_in = self.epochs.get(entry.epoch_no)
                if lost_in is not None:
                    lost_in.settled = ranges.union(lost_in.settled, entry.seqs)
        return news

    def unsettle(self, epoch_no: int, missing: Ranges) -> None:
        """The sink lost what it once acknowledged."""
        epoch = self.epochs[epoch_no]
        epoch.settled = ranges.subtract(epoch.settled, missing)

    def write_off(self, epoch_no: int, seqs: Ranges, record_epoch: int, record_seq: int) -> None:
        self.written_off.append(WrittenOff(epoch_no, seqs, record_epoch, record_seq))

    def open_epochs(self) -> list[int]:
        """Numbers of the epochs to announce: those with anything unsettled, and the current one last."""
        current = self.current.no
        unsettled = [no for no, epoch in self.epochs.items() if self.floor(no) < epoch.next_seq]
        return [*sorted(no for no in unsettled if no != current), current]
