"""Which held batches are not to be sent at the moment, and why. Pure; ranges, so that millions cost little.

In flight: in a POST of one lane, which the other lane must not send too. Suspect: refused as invalid.
Blocked: the centre cannot take them, tried again after a quarter of an hour. Put off: cannot be read, or
the centre fails on them, tried again after a minute. Conflicting: the centre has other content under their
names, which are given up together.
"""

from collections.abc import Sequence
from typing import Final

from edge_agent.uplink.suspects import Suspects
from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem

BLOCKED_SECONDS: Final = 900.0
PUT_OFF_SECONDS: Final = 60.0


class _Aside:
    """Names by epoch number that all come back together, some time after the first of them went in."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._names: dict[int, Ranges] = {}
        self.until: float | None = None

    def add(self, epoch_no: int, seqs: Ranges, now: float) -> None:
        if self.until is None:
            self.until = now + self._seconds
        self._names[epoch_no] = ranges.union(self._names.get(epoch_no, []), seqs)

    def of_epoch(self, epoch_no: int, now: float) -> Ranges:
        if self.until is not None and now >= self.until:
            self._names.clear()
            self.until = None
        return self._names.get(epoch_no, [])

    def forget(self, epoch_no: int) -> None:
        self._names.pop(epoch_no, None)
        if not self._names:
            self.until = None


class Withheld:
    """What both lanes leave out. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.suspects = Suspects()
        self._in_flight: dict[int, Ranges] = {}
        self._blocked = _Aside(BLOCKED_SECONDS)
        self._put_off = _Aside(PUT_OFF_SECONDS)
        self._conflicting: dict[int, Ranges] = {}

    def excluded(self, epoch_no: int, now: float) -> Ranges:
        """All that is not to be sent now."""
        return ranges.coalesce([*self._in_flight.get(epoch_no, ()), *self.set_aside(epoch_no, now)])

    def set_aside(self, epoch_no: int, now: float) -> Ranges:
        """What waits for its own sake, and not because the other lane has it."""
        return ranges.coalesce(
            [
                *self._blocked.of_epoch(epoch_no, now),
                *self._put_off.of_epoch(epoch_no, now),
                *self.suspects.of_epoch(epoch_no),
                *self.conflicting(epoch_no),
            ]
        )

    def claim(self, epoch_no: int, items: Sequence[BatchItem]) -> list[BatchItem]:
        """Those of `items` that no other POST has: they are in flight until `release`."""
        flying = self._in_flight.get(epoch_no, [])
        free = [item for item in items if not (flying and ranges.contains(flying, item.seq))]
        self._in_flight[epoch_no] = ranges.union(flying, _names(free))
        return free

    def release(self, epoch_no: int, items: Sequence[BatchItem]) -> None:
        left = ranges.subtract(self._in_flight.get(epoch_no, []), _names(items))
        if left:
            self._in_flight[epoch_no] = left
        else:
            self._in_flight.pop(epoch_no, None)

    def block(self, epoch_no: int, seq: int, now: float) -> None:
        self._blocked.add(epoch_no, [(seq, seq)], now)

    def put_off(self, epoch_no: int, seqs: Ranges, now: float) -> None:
        self._put_off.add(epoch_no, seqs, now)

    def conflict(self, epoch_no: int, seqs: Ranges) -> None:
        self._conflicting[epoch_no] = ranges.union(self.conflicting(epoch_no), seqs)

    def conflicting(self, epoch_no: int) -> Ranges:
        return self._conflicting.get(epoch_no, [])

    @property
    def epochs_in_conflict(self) -> list[int]:
        return sorted(self._conflicting)

    @property
    def is_blocked(self) -> bool:
        """Whether the centre cannot take something that is held."""
        return self._blocked.until is not None

    def next_return(self) -> float | None:
        """When something that was set aside comes back; None: nothing will by itself."""
        times = (self._blocked.until, self._put_off.until)
        return min((at for at in times if at is not None), default=None)

    def forget(self, epoch_no: int) -> None:
        """The epoch's batches have other names now."""
        self.suspects.forget(epoch_no)
        self._blocked.forget(epoch_no)
        self._put_off.forget(epoch_no)
        self._conflicting.pop(epoch_no, None)


def _names(items: Sequence[BatchItem]) -> Ranges:
    return ranges.of_numbers(item.seq for item in items)
