"""Which batches go in which lane, and how much at a time. Pure.

The live lane takes what is at or above the cursor, in order, and records that somebody waits for (losses,
events). The backlog lane takes what is below, oldest first, within its rate. At a reconnect the cursor is
the newest batch: live first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.wire import ranges
from edge_agent.wire.messages import Head
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import ITEM_BYTES, MAX_BODY_BYTES, BatchItem

MIN_POST_BYTES: Final = 64 * 1024
SLOW_POST_SECONDS: Final = 2.0
_QUICK_POST_SECONDS: Final = 1.0
# However low the rate is set, catching up gets this share of all bytes.
BACKLOG_SHARE: Final = 0.1
# A limit that the centre did not name may be that of a single batch or of a proxy: tried again after this.
LIMIT_SECONDS: Final = 900.0
_LEAST_LIMIT_BYTES: Final = 1024
# Two sequence numbers with their punctuation, and everything else in a head.
_RANGE_BYTES: Final = 30
_HEAD_BYTES: Final = 1024


def live(held: Ranges, cursor: int, urgent: Ranges, excluded: Ranges) -> Ranges:
    """What the live lane may send now, ascending."""
    wanted = ranges.intersect(held, [(cursor, 1 << 40)])
    if urgent:
        wanted = ranges.union(wanted, ranges.intersect(held, urgent))
    return ranges.subtract(wanted, excluded) if excluded else wanted


def backlog(held: Ranges, cursor: int, excluded: Ranges) -> Ranges:
    """What the backlog lane may send now, ascending."""
    wanted = ranges.intersect(held, [(1, cursor - 1)])
    return ranges.subtract(wanted, excluded) if excluded else wanted


def fitting(items: Sequence[BatchItem], head: Head, most_bytes: int) -> list[BatchItem]:
    """The first of `items` that a body of `most_bytes` holds together with the head, but at least one."""
    left = most_bytes - _HEAD_BYTES - _RANGE_BYTES * len(head.held)
    for count, item in enumerate(items):
        left -= len(item.body) + ITEM_BYTES
        if left < 0 and count:
            return list(items[:count])
    return list(items)


class PostSize:
    """How many bytes a POST may have, and how many one of the backlog should have.

    The latter grows while POSTs are quick, and shrinks when they are slow or fail.
    """

    def __init__(self, most: int = MAX_BODY_BYTES) -> None:
        self._ceiling = most
        self._limit = most
        self._limited_until: float | None = None
        self._wanted = MIN_POST_BYTES

    def most(self, now: float) -> int:
        if self._limited_until is not None and now >= self._limited_until:
            self._limit, self._limited_until = self._ceiling, None
        return self._limit

    def backlog(self, now: float) -> int:
        return min(self._wanted, self.most(now))

    def note(self, sent_bytes: int, seconds: float) -> None:
        """How long a POST of the backlog took, whether it succeeded or not."""
        if seconds > SLOW_POST_SECONDS:
            self._wanted = max(MIN_POST_BYTES, self._wanted // 2)
        elif seconds < _QUICK_POST_SECONDS and sent_bytes * 2 > self._wanted:
            self._wanted = min(self._ceiling, self._wanted * 2)

    def limit(self, max_bytes: int | None, refused_bytes: int, now: float) -> None:
        """The centre did not take a POST of `refused_bytes`; it takes `max_bytes`, if it said how many."""
        limit = max_bytes if max_bytes is not None and max_bytes < refused_bytes else refused_bytes // 2
        self._limit = max(_LEAST_LIMIT_BYTES, min(self._limit, limit))
        self._limited_until = now + LIMIT_SECONDS


@dataclass(slots=True)
class TokenBucket:
    """Bytes a second, with one second's worth of burst; what was spent beyond is waited for afterwards."""

    rate: float
    _level: float = field(init=False)
    _at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._level = self.rate

    def spend(self, nbytes: int, now: float) -> None:
        self._fill(now)
        self._level -= nbytes

    def delay(self, now: float) -> float:
        """Seconds until something may go again."""
        self._fill(now)
        return max(0.0, -self._level / self.rate)

    def _fill(self, now: float) -> None:
        self._level = min(self.rate, self._level + (now - self._at) * self.rate)
        self._at = now


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
