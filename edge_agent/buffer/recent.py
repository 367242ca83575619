"""The newest batches in memory: so that the live lane need not read what was just written."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from edge_agent.wire.batch import EncodedBatch
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

_BODY_BYTES: Final = 2 << 20
_BODIES: Final = 256
_TIMES: Final = 1_024
# More than both lanes can have on their way at once.
_SIZES: Final = 16_384

Name = tuple[int, int]  # (epoch number, seq)


class Recent:
    """Bodies and commit times of new batches, and the sizes of those that were fetched to be sent."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[Name, BatchItem] = OrderedDict()
        self._bytes = 0
        self._times: OrderedDict[Name, float] = OrderedDict()
        self._sizes: OrderedDict[Name, tuple[int, int]] = OrderedDict()

    def add(self, epoch_no: int, seq: int, batch: EncodedBatch, now: float) -> None:
        item = BatchItem(
            seq, int(batch.kind), int(batch.codec), batch.raw_bytes, batch.samples,
            batch.t0, batch.t1, batch.hash, batch.body,
        )  # fmt: skip
        self._bodies[epoch_no, seq] = item
        self._bytes += len(batch.body)
        while (self._bytes > _BODY_BYTES or len(self._bodies) > _BODIES) and len(self._bodies) > 1:
            self._bytes -= len(self._bodies.popitem(last=False)[1].body)
        self._times[epoch_no, seq] = now
        if len(self._times) > _TIMES:
            self._times.popitem(last=False)

    def committed_at(self, epoch_no: int, seq: int) -> float | None:
        return self._times.get((epoch_no, seq))

    def first(self, epoch_no: int, wanted: Ranges, max_bytes: int) -> list[BatchItem]:
        """The first of `wanted`, as far as they are here without a hole."""
        items: list[BatchItem] = []
        total = 0
        for lo, hi in wanted:
            for seq in range(lo, hi + 1):
                item = self._bodies.get((epoch_no, seq))
                if item is None:
                    return items
                total += len(item.body)
                if items and total > max_bytes:
                    return items
                items.append(item)
        return items

    def fetched(self, epoch_no: int, items: Sequence[BatchItem]) -> None:
        """Remembers sizes, to be subtracted when the batches are acknowledged."""
        for item in items:
            self._sizes[epoch_no, item.seq] = (len(item.body), item.samples)
            self._sizes.move_to_end((epoch_no, item.seq))
        while len(self._sizes) > _SIZES:
            self._sizes.popitem(last=False)

    def take_size(self, epoch_no: int, seq: int) -> tuple[int, int] | None:
        """(body bytes, samples) of a batch that was fetched lately; it was delivered, and its body goes."""
        item = self._bodies.pop((epoch_no, seq), None)
        if item is not None:
            self._bytes -= len(item.body)
        return self._sizes.pop((epoch_no, seq), None)

    def clear(self) -> None:
        """The names have changed."""
        self._bodies.clear()
        self._bytes = 0
        self._times.clear()
        self._sizes.clear()
