"""Whether something that should speak regularly still does. Pure: for groups, units, subscriptions, sinks.

It is judged by what it delivers, not by its socket: a half-open connection, a server whose subscription
has died and a centre that takes connections and answers none of them all look connected. After one
deadline of silence it is late and its connection is to be built anew, after two its values are stale,
after three somebody is to be told.
"""

from enum import IntEnum
from typing import Final

# Silence that goes on is answered ever more rarely, and not more rarely than this.
_LONGEST_WAIT_DEADLINES: Final = 32
HELD_UP_SECONDS: Final = 2.0


class Stage(IntEnum):
    """How many deadlines have passed without a sign of life; the numbers are these deadlines."""

    LIVE = 0
    LATE = 1
    STALE = 2
    SILENT = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class Looks:
    """Looks at liveness every `every` seconds, as far as this process gets its turns."""

    def __init__(self, every: float, now: float) -> None:
        self._every = every
        self._last = now

    def held_up(self, now: float) -> float:
        """By how much this look is late, where that is worth excusing; 0 otherwise.

        Whoever is judged could not be heard in that time: the process was stopped, or its loop blocked.
        """
        late = now - self._last - self._every
        self._last = now
        return late if late > HELD_UP_SECONDS else 0.0


class Liveness:
    """One subject's. All times are monotonic seconds.

    deadline: how long it may say nothing. alive_at: its newest sign of life; before the first, when it was
    begun with.
    """

    def __init__(self, deadline: float, now: float) -> None:
        if deadline <= 0:
            raise ValueError("a deadline is longer than nothing")
        self.deadline = deadline
        self.alive_at = now
        self._wait = deadline
        self._rebuild_at = now + deadline

    def alive(self, at: float) -> None:
        """A sign of life at `at`; an older one than the newest says nothing."""
        if at > self.alive_at:
            self.alive_at = at
            self._wait = self.deadline
            self._rebuild_at = at + self.deadline

    def excuse(self, seconds: float) -> None:
        """Nobody could have heard it for so long: this process stood still."""
        self.alive_at += seconds
        self._rebuild_at += seconds

    def silence(self, now: float) -> float:
        return max(0.0, now - self.alive_at)

    def stage(self, now: float) -> Stage:
        return Stage(min(int(self.silence(now) / self.deadline), Stage.SILENT))

    def rebuild_due(self, now: float) -> bool:
        """True once after the first deadline of a silence, again after two more, then four, and so on."""
        if now < self._rebuild_at:
            return False
        self.rebuilt(now)
        return True

    def rebuilt(self, now: float) -> None:
        """For this or another reason: that has to show its effect before the next."""
        self._wait = min(2 * self._wait, _LONGEST_WAIT_DEADLINES * self.deadline)
        self._rebuild_at = now + self._wait
