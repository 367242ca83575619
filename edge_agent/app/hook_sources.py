"""What hooks are told of beside frames and records: links that come and go, and times of schedules.

Asked at each flush, so that nothing runs between two of them. A link that was lost and came back since the
last look is told as back; of times that passed while nobody looked (the machine slept, the clock was set)
the last one is told.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.hooks import LinkChange, Tick
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HookPoint, Script

_TOLD: Final = frozenset({"connected", "down", "stopped"})
_OF_LINKS: Final = frozenset({HookPoint.ON_CONNECT, HookPoint.ON_ALERT})
# A clock that was set back by less repeats no time.
_SET_BACK_MS: Final = 3_600_000
_SECOND: Final = timedelta(seconds=1)


class Schedules:
    """The times of on_schedule hooks. Pure: `due` takes the time and gives what has come since the last."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._next: dict[str, int | None] = {}
        self._looked_ms = 0

    def serve(self, scripts: Iterable[Script], now_ms: int) -> None:
        """From now on these. One that stays as it was keeps its next time."""
        before, upcoming = self._scripts, self._next
        if self._is_set_back(now_ms):
            before = {}
        self._scripts = {each.name: each for each in scripts if each.hook_type is HookPoint.ON_SCHEDULE}
        self._next = {
            name: upcoming[name] if _times(before.get(name)) == _times(script) else _next(script, now_ms)
            for name, script in self._scripts.items()
        }
        self._looked_ms = now_ms

    def due(self, now_ms: int) -> list[Tick]:
        if self._is_set_back(now_ms):
            self._next = {name: _next(script, now_ms) for name, script in self._scripts.items()}
        self._looked_ms = now_ms
        ticks: list[Tick] = []
        for name, at in self._next.items():
            if at is not None and at <= now_ms:
                ticks.append(Tick(name, max(at, _last(self._scripts[name], now_ms))))
                self._next[name] = _next(self._scripts[name], now_ms)
        return sorted(ticks, key=lambda tick: tick.scheduled)

    def _is_set_back(self, now_ms: int) -> bool:
        return now_ms < self._looked_ms - _SET_BACK_MS


class LinkWatch:
    """Compares what links are with what they were when they were last looked at."""

    def __init__(self) -> None:
        self._seen: dict[str, LinkChange] = {}

    def changes(self, links: Sequence[LinkChange], now_ms: int) -> list[LinkChange]:
        """links: all that there are, as they are."""
        before, self._seen = self._seen, {link.connection: link for link in links}
        changed = [
            link
            for link in links
            if link.state in _TOLD and _what(before.get(link.connection)) != _what(link)
        ]
        gone = [
            LinkChange(link.connection, link.driver, link.address, "stopped", now_ms)
            for name, link in before.items()
            if name not in self._seen and link.state != "stopped"
        ]
        return sorted([*changed, *gone], key=lambda link: link.time)


class Sources:
    """Implements contracts.hooks.HookSources for the scripts that run."""

    def __init__(
        self,
        links: Callable[[], Sequence[LinkChange]],
        clock: Clock,
        polled: Callable[[], Sequence[Schema]] = list,
    ) -> None:
        """links: all of them, as they are. polled: of all groups."""
        self._all_links = links
        self._polled = polled
        self._clock = clock
        self._watch = LinkWatch()
        self._wants_links = False
        self._schedules = Schedules()

    def serve(self, scripts: Sequence[Script]) -> None:
        """From now on for these. Times of schedules count from now on; those that stay keep theirs."""
        wants = any(script.hook_type in _OF_LINKS for script in scripts)
        if wants and not self._wants_links:
            self._watch = LinkWatch()
        self._wants_links = wants
        self._schedules.serve(scripts, self._clock.wall_ms())

    def links(self) -> list[LinkChange]:
        if not self._wants_links:
            return []
        return self._watch.changes(self._all_links(), self._clock.wall_ms())

    def polled(self) -> Sequence[Schema]:
        return self._polled()

    def ticks(self) -> list[Tick]:
        return self._schedules.due(self._clock.wall_ms())


def _what(link: LinkChange | None) -> tuple[str, int] | None:
    return None if link is None else (link.state, link.time)


def _times(script: Script | None) -> tuple[str, str] | None:
    return None if script is None else (script.schedule, script.timezone)


def _at(script: Script, now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1_000, ZoneInfo(script.timezone))


def _next(script: Script, now_ms: int) -> int | None:
    """The first time after `now_ms`; None: it never comes."""
    return _first(CronSim(script.schedule, _at(script, now_ms)))


def _last(script: Script, now_ms: int) -> int:
    """The last time up to `now_ms`."""
    # A time is a whole second, and has come as soon as that begins.
    return _first(CronSim(script.schedule, _at(script, now_ms // 1_000 * 1_000) + _SECOND, reverse=True)) or 0


def _first(times: CronSim) -> int | None:
    at = next(times, None)
    return None if at is None else round(at.astimezone(UTC).timestamp() * 1_000)
