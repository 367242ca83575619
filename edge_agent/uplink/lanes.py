"""Which batches go in which lane, and how much at a time. Pure.

The live lane takes what is at or above the cursor, in order, and records that somebody waits for (losses,
events). The backlog lane takes what is below, oldest first, within its rate. At a reconnect the cursor is
the newest batch: live first.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from edge_agent.wire import ranges
from edge_agent.wire.ranges import Ranges

MIN_POST_BYTES: Final = 64 * 1024
SLOW_POST_SECONDS: Final = 2.0
_QUICK_POST_SECONDS: Final = 1.0
# However low the rate is set, catching up gets this share of all bytes.
BACKLOG_SHARE: Final = 0.1


def live(held: Ranges, cursor: int, urgent: Ranges, excluded: Collection[int]) -> Ranges:
    """What the live lane may send now, ascending."""
    wanted = ranges.intersect(held, [(cursor, 1 << 40)])
    if urgent:
        wanted = ranges.union(wanted, ranges.intersect(held, urgent))
    return ranges.subtract(wanted, ranges.of_numbers(excluded)) if excluded else wanted


def backlog(held: Ranges, cursor: int, excluded: Collection[int]) -> Ranges:
    """What the backlog lane may send now, ascending."""
    wanted = ranges.intersect(held, [(1, cursor - 1)])
    return ranges.subtract(wanted, ranges.of_numbers(excluded)) if excluded else wanted


@dataclass(slots=True)
class PostSize:
    """How many bytes a POST of the backlog should have: grows while POSTs are quick, shrinks when slow."""

    most: int
    size: int = MIN_POST_BYTES

    def note(self, sent_bytes: int, seconds: float) -> None:
        if seconds > SLOW_POST_SECONDS:
            self.size = max(MIN_POST_BYTES, self.size // 2)
        elif seconds < _QUICK_POST_SECONDS and sent_bytes * 2 > self.size:
            self.size = min(self.most, self.size * 2)

    def limit(self, most: int) -> None:
        """The centre takes no more than this."""
        self.most = max(1024, min(self.most, most))
        self.size = min(self.size, self.most)


@dataclass(slots=True)
class TokenBucket:
    """Bytes a second, with one second's worth of burst."""

    rate: float
    _level: float = field(init=False)
    _at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._level = self.rate

    def delay(self, nbytes: int, now: float) -> float:
        """Takes `nbytes` out and returns how long to wait before they may go (seconds)."""
        self._level = min(self.rate, self._level + (now - self._at) * self.rate)
        self._at = now
        self._level -= nbytes
        return max(0.0, -self._level / self.rate)


@dataclass(slots=True)
class Share:
    """How the bytes of the recent past divide between the lanes."""

    live_bytes: float = 0.0
    backlog_bytes: float = 0.0

    def note(self, nbytes: int, *, live: bool) -> None:
        if live:
            self.live_bytes += nbytes
        else:
            self.backlog_bytes += nbytes
        if self.live_bytes + self.backlog_bytes > 8 << 20:
            self.live_bytes /= 2
            self.backlog_bytes /= 2

    @property
    def backlog_is_short(self) -> bool:
        total = self.live_bytes + self.backlog_bytes
        return total > 0 and self.backlog_bytes < BACKLOG_SHARE * total


@dataclass(slots=True)
class Suspect:
    """A batch that the centre refused: tried alone, while others pass, before it is given up."""

    strikes: int = 0
    others_passed: int = 0  # POSTs that succeeded since the last strike


class Suspects:
    """Batches under suspicion by (epoch number, seq). Three strikes, each after another batch passed."""

    STRIKES: Final = 3

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], Suspect] = {}

    def strike(self, epoch_no: int, seq: int) -> bool:
        """Counts a refusal. True: enough, the batch is to be given up."""
        entry = self._entries.setdefault((epoch_no, seq), Suspect())
        entry.strikes += 1
        entry.others_passed = 0
        return entry.strikes >= self.STRIKES

    def passed(self) -> None:
        """Some other POST succeeded: so it is the batch and not the way."""
        for entry in self._entries.values():
            entry.others_passed += 1

    def due(self) -> tuple[int, int] | None:
        """A suspect to try again, alone."""
        for key, entry in self._entries.items():
            if entry.others_passed > 0:
                return key
        return None

    def clear(self, epoch_no: int, seq: int) -> None:
        self._entries.pop((epoch_no, seq), None)

    def of_epoch(self, epoch_no: int) -> set[int]:
        return {seq for no, seq in self._entries if no == epoch_no}
