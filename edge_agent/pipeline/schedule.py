"""When a group is due: fixed rate on the monotonic clock, phases spread, missed cycles skipped. Pure."""

import math
from dataclasses import dataclass
from typing import Final

# The golden ratio's fraction: multiples of it, modulo 1, spread evenly however many there are.
_SPREAD: Final = 0.6180339887498949


def phase(index: int, interval: float) -> float:
    """Seconds by which the group with this index is shifted, so that groups do not fire together."""
    return index * _SPREAD % 1.0 * interval


@dataclass(slots=True)
class Schedule:
    """A grid of instants `first + k × interval`, in monotonic seconds."""

    due: float
    interval: float
    overruns: int = 0

    @classmethod
    def starting(cls, now: float, interval: float, index: int) -> "Schedule":
        """The first instant follows `now` by less than one interval."""
        return cls(now + phase(index, interval), interval)

    def advance(self, now: float) -> int:
        """To the next instant of the grid that is not past. Returns how many instants were missed.

        An instant counts as missed when the one after it has been reached as well.
        """
        missed = max(0, int((now - self.due) / self.interval))
        self.due += (missed + 1) * self.interval
        self.overruns += missed
        return missed

    def skip_to(self, now: float) -> None:
        """To the first instant that is not past, without counting: nobody could have polled."""
        if self.due < now:
            self.due += math.ceil((now - self.due) / self.interval) * self.interval
