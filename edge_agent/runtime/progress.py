"""Whether the parts that must not stand still make progress: what the watchdog is fed from. Pure.

A part beats its pulse at every turn of its loop and says how long its next turn may take on purpose (it
sleeps until a poll is due, a request has its time-out). A part that is quiet for that long and its limit
more has stalled. Parts that are watched `together` have stalled when all of them have: one connection
whose driver never returns is no reason to end a process with ninety-nine others.

Quiet time is the judge's own: a pause in which nobody judged counts as one turn of the judge at most. So
a machine that slept, or a process that was stopped and goes on, is not taken for stalled, while a loop
that is blocked keeps the judge from judging, and with that the watchdog from being fed.
"""

from dataclasses import dataclass, field
from math import inf


class Pulse:
    """One part's sign of life. `beat` is for hot paths and for any thread."""

    __slots__ = ("allowance_seconds", "count")

    def __init__(self) -> None:
        self.count = 0
        self.allowance_seconds = 0.0

    def beat(self, allowance_seconds: float = 0.0) -> None:
        """A turn began. allowance_seconds: how long it may take beyond the part's limit."""
        self.allowance_seconds = allowance_seconds
        self.count += 1

    def rest(self) -> None:
        """The part does not run, and somebody else knows why: it is not judged until it beats again."""
        self.beat(inf)


@dataclass(frozen=True, slots=True)
class Stall:
    """A part without progress. quiet_seconds: since its last beat, as far as the judge saw."""

    name: str
    quiet_seconds: float


@dataclass(slots=True)
class _Watched:
    pulse: Pulse
    limit_seconds: float
    together: str
    seen: int = -1
    quiet_seconds: float = field(default=0.0)

    def look(self, elapsed: float) -> bool:
        """Whether the part has stalled, `elapsed` seconds after the look before."""
        if self.pulse.count != self.seen:
            self.seen, self.quiet_seconds = self.pulse.count, 0.0
        else:
            self.quiet_seconds += elapsed
        return self.quiet_seconds > self.limit_seconds + self.pulse.allowance_seconds


class Progress:
    """The watched parts. The judge is one task that calls `stalled` every `turn_seconds` or so."""

    def __init__(self, turn_seconds: float) -> None:
        self._most_a_look = 2 * turn_seconds
        self._watched: dict[str, _Watched] = {}
        self._looked_at: float | None = None

    def watch(self, name: str, pulse: Pulse, limit_seconds: float, *, together: str = "") -> None:
        """Judges `pulse` from now on, in the place of an earlier one of that name."""
        self._watched[name] = _Watched(pulse, limit_seconds, together)

    def forget(self, name: str, pulse: Pulse) -> None:
        """Ends that, unless the name belongs to a newer one already."""
        watched = self._watched.get(name)
        if watched is not None and watched.pulse is pulse:
            del self._watched[name]

    def stalled(self, now: float) -> list[Stall]:
        """Who makes no progress at `now` (monotonic seconds); empty: all is well."""
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, self._most_a_look)
        self._looked_at = now
        stalls: list[Stall] = []
        of_groups: dict[str, list[Stall | None]] = {}
        for name, watched in self._watched.items():
            stall = Stall(name, round(watched.quiet_seconds, 1)) if watched.look(elapsed) else None
            if watched.together:
                of_groups.setdefault(watched.together, []).append(stall)
            elif stall is not None:
                stalls.append(stall)
        for members in of_groups.values():
            found = [stall for stall in members if stall is not None]
            if len(found) == len(members):
                stalls += found
        return stalls
