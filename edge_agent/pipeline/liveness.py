"""Which groups, units and connections say nothing any more, and what is to be done about it. Pure.

A group lives by its newest reading in which the device told something of at least one tag. A unit lives
while one of its groups does, a connection while one of its units does. Where several are silent together
the highest of them is told of, once: a dead PLC is one event and not one for each of its groups.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge_agent.runtime.liveness import Liveness, Stage

# A group may miss several cycles, and a quick one a reconnect with back-off, before anybody is troubled.
MISSED_CYCLES: Final = 5
LEAST_SECONDS: Final = 30.0
# The whole of a slow line's work has to fit into the deadline of each of its groups so many times.
_ROUNDS: Final = 3


class Subject(NamedTuple):
    """Who is alive or not. unit_id and group are those of what `kind` (connection, unit, group) names."""

    kind: str
    connection: str
    unit_id: int | None = None
    group: str = ""

    @property
    def text(self) -> str:
        """Its name for people."""
        match self.kind:
            case "group":
                return f"group {self.connection}.{self.group}"
            case "unit":
                return f"unit {self.unit_id} of {self.connection}"
        return f"connection {self.connection}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """rebuild: nothing on the connection lives, build the link anew. stale: the groups, by their place,
    whose last value may not pass for their present one. silent: who is to be told of."""

    rebuild: bool = False
    stale: tuple[int, ...] = ()
    silent: tuple[Subject, ...] = ()


def default_deadline(interval_seconds: float, line_seconds: float) -> float:
    """Of a group that names none. line_seconds: what one round of all the connection's groups takes."""
    return max(LEAST_SECONDS, MISSED_CYCLES * interval_seconds, _ROUNDS * line_seconds)


class ConnectionLiveness:
    """The groups of one connection, by their place in the config, and what lives by them."""

    def __init__(self, connection: str, groups: Sequence[tuple[int | None, str, float]], now: float) -> None:
        """groups: unit, name and deadline of each."""
        self._groups = [Liveness(deadline, now) for _, _, deadline in groups]
        self._names = [Subject("group", connection, unit_id, name) for unit_id, name, _ in groups]
        self._units: dict[Subject, list[int]] = {}
        for place, (unit_id, _, _) in enumerate(groups):
            self._units.setdefault(Subject("unit", connection, unit_id), []).append(place)
        self._whole = Subject("connection", connection)
        shortest = min((deadline for _, _, deadline in groups), default=LEAST_SECONDS)
        self._link = Liveness(shortest, now)

    def excuse(self, seconds: float) -> None:
        for each in (*self._groups, self._link):
            each.excuse(seconds)

    def rebuilt(self, now: float) -> None:
        """The link was built anew because a call hung."""
        self._link.rebuilt(now)

    def judge(self, now: float, heard: Iterable[float]) -> Verdict:
        """heard: when each group's device told something last (monotonic seconds); 0: never yet."""
        all_live = True
        for liveness, at in zip(self._groups, heard, strict=True):
            if at > liveness.alive_at:
                liveness.alive(at)
            all_live = all_live and now - liveness.alive_at < liveness.deadline
        if all_live or not self._groups:
            return Verdict()
        self._link.alive(max(each.alive_at for each in self._groups))
        return Verdict(
            self._link.rebuild_due(now),
            tuple(place for place, each in enumerate(self._groups) if each.stage(now) >= Stage.STALE),
            tuple(self._silent(now)),
        )

    def _silent(self, now: float) -> Iterable[Subject]:
        """The highest of those that are silent."""
        if self._link.stage(now) is Stage.SILENT:
            yield self._whole
            return
        for unit, places in self._units.items():
            # By the shortest deadline of its groups: an hourly one would keep it alive for most of a day.
            shortest = min(self._groups[place].deadline for place in places)
            if all(self._groups[place].silence(now) >= Stage.SILENT * shortest for place in places):
                yield unit
            else:
                yield from (self._names[place] for place in places if self.stage(place, now) is Stage.SILENT)

    def stage(self, place: int, now: float) -> Stage:
        """Of a group."""
        return self._groups[place].stage(now)

    def silence(self, subject: Subject, now: float) -> float | None:
        """Seconds since its last sign of life; None: it is not configured any more."""
        found = [
            each.silence(now)
            for each, name in zip(self._groups, self._names, strict=True)
            if subject in (name, self._whole, Subject("unit", name.connection, name.unit_id))
        ]
        return min(found, default=None)
