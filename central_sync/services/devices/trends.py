"""A device over time: its heartbeats as a series, its figures for curves, and when it was online.

Pure rules and the service; where heartbeats are kept, and for how long, is the store's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import Field

from central_sync.services.clock import Clock
from central_sync.services.errors import Invalid, NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import View

DAY_MS: Final = 86_400_000
MAX_POINTS: Final = 2_000
# State changes that one answer may name; a longer span is asked for in parts.
MAX_INTERVALS: Final = 10_000
UNKNOWN: Final = "unknown"
_UP: Final = ("online", "degraded")


class Beat(NamedTuple):
    """One heartbeat of the series. time: UTC milliseconds, the beginning of its half minute."""

    time: int
    cpu_percent: float | None
    memory_bytes: int | None
    disk_free_bytes: int | None
    uptime_seconds: float | None
    pending_batches: int | None
    pending_bytes: int | None
    connections_ok: int | None
    connections: int | None
    clock_offset_ms: int | None
    version: str | None


class BeatView(View):
    """One heartbeat of the series."""

    time: int = Field(
        description="Beginning of the half minute; of each the newest heartbeat is kept, for a day."
    )
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    disk_free_bytes: int | None = None
    uptime_seconds: float | None = None
    pending_batches: int | None = None
    pending_bytes: int | None = None
    connections_ok: int | None = None
    connections: int | None = None
    clock_offset_ms: int | None = None
    version: str | None = None


class BeatPage(View):
    items: list[BeatView]
    next: str | None = None


Numbers = Annotated[list[float | None], Field(description="One for each time; null where none came.")]


class MetricsView(View):
    """Columns over time. Of what a point stands for: the mean of cpu, memory and clock offset, the least of
    free disk and good connections, the most of what is pending and of connections, the last uptime."""

    device_id: str
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    step: int = Field(description="Milliseconds that a point stands for.")
    times: list[int] = Field(
        description="The beginning of each point, ascending; those without a heartbeat are left out."
    )
    cpu_percent: Numbers
    memory_bytes: Numbers
    disk_free_bytes: Numbers
    uptime_seconds: Numbers
    pending_batches: Numbers
    pending_bytes: Numbers
    connections_ok: Numbers
    connections: Numbers
    clock_offset_ms: Numbers
    newest: BeatView | None = Field(description="The newest of the span, as it came.")


class IntervalView(View):
    state: str = Field(
        description="A device's state, `decommissioned`, or `unknown` before what is recorded."
    )
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int


class AvailabilityView(View):
    """When a device was in which state. A centre that does not run hears nobody and changes no state."""

    device_id: str
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    state: str = Field(description="At `to`.")
    milliseconds: dict[str, int] = Field(description="By state; they add up to the span.")
    percent: float | None = Field(
        description="Online or degraded, of the time online, degraded or offline; null where there is none."
    )
    intervals: list[IntervalView]
    truncated: bool = Field(description="There are more: the oldest are left out of `intervals`.")


@dataclass(frozen=True, slots=True)
class Changes:
    """States of a device: the one that held before the span, and the changes in it, ascending."""

    before: str | None
    changes: Sequence[tuple[int, str]]


class TrendStore(Protocol):
    async def beats(self, device: str, start: int, end: int) -> list[Beat] | None:
        """Ascending, both ends included; None: no such device."""
        ...

    async def state_changes(self, device: str, start: int, end: int) -> Changes | None:
        """Changes with start < time <= end; None: no such device."""
        ...


_MEAN: Final = ("cpu_percent", "memory_bytes", "clock_offset_ms")
_LEAST: Final = ("disk_free_bytes", "connections_ok")
_MOST: Final = ("pending_batches", "pending_bytes", "connections")
_LAST: Final = ("uptime_seconds",)


def step_of(start: int, end: int, points: int, wanted: int | None) -> int:
    """Milliseconds of a point: as wanted, but at most `points` of them."""
    return max(wanted or 1, -(-(end - start + 1) // points))


def condense(beats: Sequence[Beat], start: int, step: int) -> tuple[list[int], dict[str, list[float | None]]]:
    """Times and columns: one point for each step that has a heartbeat."""
    groups: dict[int, list[Beat]] = {}
    for beat in beats:
        groups.setdefault(start + (beat.time - start) // step * step, []).append(beat)
    columns = {name: [_point(name, group) for group in groups.values()] for name in _COLUMNS}
    return list(groups), columns


_COLUMNS: Final = (*_MEAN, *_LEAST, *_MOST, *_LAST)


def _point(name: str, group: Sequence[Beat]) -> float | None:
    numbers: list[float] = [value for beat in group if (value := getattr(beat, name)) is not None]
    if not numbers:
        return None
    if name in _MEAN:
        return round(sum(numbers) / len(numbers), 3)
    if name in _LEAST:
        return min(numbers)
    return max(numbers) if name in _MOST else numbers[-1]


def thin(beats: Sequence[Beat], step: int) -> list[Beat]:
    """The last heartbeat of each step."""
    kept: dict[int, Beat] = {beat.time // step: beat for beat in beats}
    return list(kept.values())


def intervals(found: Changes, start: int, end: int) -> list[tuple[str, int, int]]:
    """(state, from, to), gapless over the span; neighbours differ."""
    result: list[tuple[str, int, int]] = []
    state, since = found.before or UNKNOWN, start
    for changed, new in [*found.changes, (end, None)]:
        time = max(changed, since)
        if time > since:
            if result and result[-1][0] == state:
                result[-1] = (state, result[-1][1], time)
            else:
                result.append((state, since, time))
        state, since = new or state, time
    return result


def percent_up(sums: dict[str, int]) -> float | None:
    up = sum(sums.get(state, 0) for state in _UP)
    known = up + sums.get("offline", 0)
    return round(100 * up / known, 4) if known else None


class TrendService:
    def __init__(self, store: TrendStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def span(self, start: int | None, end: int | None) -> tuple[int, int]:
        """The last day by default; never beyond now. Raises Invalid."""
        now = self._clock.wall_ms()
        last = min(now, end) if end is not None else now
        first = start if start is not None else max(0, last - DAY_MS)
        if first > last:
            raise Invalid("bad_span", "`from` is later than `to`, or than now")
        return first, last

    async def heartbeats(
        self, device: str, span: tuple[int, int], step: int | None, cursor: str | None, limit: int
    ) -> BeatPage:
        """Ascending. Raises NotFound, Invalid for a bad cursor."""
        key = decode_cursor(cursor, int)
        start = max(span[0], int(key[0]) + 1) if key else span[0]
        found = await self._beats(device, start, span[1])
        shown = thin(found, step) if step else found
        more = encode_cursor([shown[limit - 1].time]) if len(shown) > limit else None
        return BeatPage(items=[BeatView(**beat._asdict()) for beat in shown[:limit]], next=more)

    async def metrics(self, device: str, span: tuple[int, int], step: int | None, points: int) -> MetricsView:
        """Raises NotFound."""
        beats = await self._beats(device, *span)
        chosen = step_of(*span, points, step)
        times, columns = condense(beats, span[0], chosen)
        newest = BeatView(**beats[-1]._asdict()) if beats else None
        return MetricsView.model_validate(
            {
                "device_id": device, "from": span[0], "to": span[1], "step": chosen, "times": times,
                "newest": newest, **columns,
            }
        )  # fmt: skip

    async def availability(self, device: str, span: tuple[int, int]) -> AvailabilityView:
        """Raises NotFound."""
        found = await self._store.state_changes(device, *span)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        parts = intervals(found, *span)
        sums: dict[str, int] = {}
        for state, start, end in parts:
            sums[state] = sums.get(state, 0) + end - start
        last = found.changes[-1][1] if found.changes else found.before or UNKNOWN
        named = parts[-MAX_INTERVALS:]
        return AvailabilityView.model_validate(
            {
                "device_id": device, "from": span[0], "to": span[1], "state": last, "milliseconds": sums,
                "percent": percent_up(sums), "truncated": len(parts) > len(named),
                "intervals": [{"state": state, "from": start, "to": end} for state, start, end in named],
            }
        )  # fmt: skip

    async def _beats(self, device: str, start: int, end: int) -> list[Beat]:
        found = await self._store.beats(device, start, end)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {device}")
        return found
