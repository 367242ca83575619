"""When a group is due: fixed rate on the monotonic clock, phases spread, missed cycles skipped. Pure."""

from dataclasses import dataclass
from typing import Final

# The golden ratio's fraction: multiples of it, modulo 1, spread evenly however many there are.
_SPREAD: Final = 0.6180339887498949
# All groups are polled within this time of a start, and go over to their grids then.
FIRST_POLL_NS: Final = 250_000_000


@dataclass(slots=True)
class Schedule:
    """A grid of instants `first + k × interval`, in monotonic nanoseconds: whole numbers do not drift.

    due: when to poll next; a first or a hastened poll lies off the grid.
    """

    due: int
    first: int
    interval: int
    overruns: int = 0

    @classmethod
    def starting(cls, now: int, interval_seconds: float, index: int) -> "Schedule":
        """Phases differ by `index`, so that groups do not fire together."""
        share = index * _SPREAD % 1.0
        interval = round(interval_seconds * 1e9)
        soon = now + int(share * min(interval, FIRST_POLL_NS))
        return cls(soon, now + int(share * interval), interval)

    def advance(self, now: int, excused: int = 0) -> int:
        """To the first instant of the grid after `now`. Returns how many instants were missed.

        Those until `excused` are not counted: nobody could have polled then.
        """
        # A sleep may end a moment too early; the instant it was for is over all the same.
        passed = (max(now, self.due) - self.first) // self.interval
        polled = (max(self.due, excused) - self.first) // self.interval
        missed = max(0, passed - polled)
        self.due = self.first + (passed + 1) * self.interval
        self.overruns += missed
        return missed

    def hasten(self, at: int) -> None:
        """Polls at `at`, unless it is due before that anyway; the grid stays where it is."""
        self.due = min(self.due, at)
