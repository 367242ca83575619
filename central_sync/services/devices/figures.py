"""Figures that need every device's newest heartbeat: counted in parts, kept some seconds, each sight apart.

Nothing of it is kept up while heartbeats come: whoever asks pays, and who asks again soon gets the same.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

from central_sync.services.clock import Clock
from central_sync.services.devices.health import HOOK_FAILS
from central_sync.services.devices.inventory import DeviceFilter
from central_sync.services.devices.topology import GOOD, PlcSummary, Report, WorstDevice, row_states

KEPT_SECONDS: Final = 10.0
_MAX_SIGHTS: Final = 32
_PART: Final = 500
_WORST: Final = 20
# Of devices with figures of their own in one answer.
MAX_DEVICES: Final = 2_000
# Names that come from devices: what is beyond these is counted as `other`.
MAX_NAMES: Final = 50
OTHER: Final = "other"


class Owed(NamedTuple):
    """Batches: that agents still hold, that are missing, that are declared lost."""

    pending: int
    gaps: int
    lost: int


class DeviceFigures(NamedTuple):
    """One device's figures, of its newest heartbeat."""

    id: str
    is_heard: bool
    last_seen: int | None
    pending_batches: int
    pending_bytes: int
    connections_ok: int
    connections: int
    lost_samples: int
    hooks: int
    hooks_failing: int
    hook_failures: int


@dataclass(slots=True)
class Tally:
    """What is counted over the devices of one sight."""

    time: int = 0
    devices: int = 0
    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    worst: list[tuple[int, int, str]] = field(default_factory=list)
    each: list[DeviceFigures] = field(default_factory=list)
    owed: Owed = field(default_factory=lambda: Owed(0, 0, 0))
    drivers: set[str] = field(default_factory=set)
    states: set[str] = field(default_factory=set)

    def add(self, reports: list[Report]) -> None:
        for report in reports:
            self._add(report, report.heartbeat())
        self.worst = sorted(self.worst, key=lambda entry: (-entry[0], entry[2]))[:_WORST]

    def _add(self, report: Report, beat: dict[str, Any]) -> None:
        self.devices += 1
        rows = Counter(row_states(report, beat))
        bad = 0
        for (driver, state), count in rows.items():
            self.units[_known(self.drivers, driver), _known(self.states, state)] += count
            bad += 0 if state in GOOD else count
        if bad:
            self.worst.append((bad, rows.total(), report.id))
        if not beat:
            return
        version = str(beat.get("version", ""))
        self.versions[version if version in self.versions or len(self.versions) < MAX_NAMES else OTHER] += 1
        buffer = beat.get("buffer") or {}
        hooks = (beat.get("hooks") or {}).get("hooks") or []
        figures = DeviceFigures(
            report.id,
            report.is_heard,
            report.last_seen,
            buffer.get("pending_batches") or 0,
            buffer.get("pending_bytes") or 0,
            (beat.get("connections_ok") or 0) if report.is_heard else 0,
            beat.get("connections_total") or 0,
            beat.get("lost_samples") or 0,
            len(hooks),
            sum(hook.get("state") in HOOK_FAILS for hook in hooks),
            sum(hook.get("failures") or 0 for hook in hooks),
        )
        self.sums.update(
            buffer_pending_batches=figures.pending_batches,
            buffer_pending_bytes=figures.pending_bytes,
            buffer_bytes=buffer.get("size_bytes") or 0,
            buffer_quota_bytes=buffer.get("quota_bytes") or 0,
            connections_ok=figures.connections_ok,
            connections=figures.connections,
            hooks=figures.hooks,
            hooks_failing=figures.hooks_failing,
        )
        if len(self.each) < MAX_DEVICES:
            self.each.append(figures)

    def summary(self) -> PlcSummary:
        states: Counter[str] = Counter()
        drivers: dict[str, dict[str, int]] = {}
        for (driver, state), count in sorted(self.units.items()):
            states[state] += count
            drivers.setdefault(driver, {})[state] = count
        return PlcSummary(
            time=self.time,
            rows=sum(states.values()),
            states=dict(states),
            drivers=drivers,
            worst=[WorstDevice(device_id=name, bad=bad, rows=rows) for bad, rows, name in self.worst],
        )


def _known(names: set[str], name: str) -> str:
    """A name as it is counted: `other` once there are too many."""
    if name not in names and len(names) >= MAX_NAMES:
        return OTHER
    names.add(name)
    return name


class FigureStore(Protocol):
    async def reports(self, wanted: DeviceFilter) -> list[Report]: ...

    async def owed(self, limits: Mapping[str, str]) -> Owed: ...


Sight = tuple[tuple[str, str], ...]


class FigureService:
    def __init__(self, store: FigureStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[Sight, tuple[float, Tally]] = OrderedDict()

    async def tally(self, limits: Mapping[str, str]) -> Tally:
        """At most `KEPT_SECONDS` old. One is counted at a time. Raises what the store raises: half a count is
        none."""
        sight = tuple(sorted(limits.items()))
        async with self._turn:
            kept = self._kept.get(sight)
            if kept is None or self._clock.monotonic() - kept[0] >= KEPT_SECONDS:
                kept = (self._clock.monotonic(), await self._count(limits))
                self._kept[sight] = kept
                self._kept.move_to_end(sight)
                if len(self._kept) > _MAX_SIGHTS:
                    self._kept.popitem(last=False)
            return kept[1]

    async def _count(self, limits: Mapping[str, str]) -> Tally:
        tally = Tally(time=self._clock.wall_ms(), owed=await self._store.owed(limits))
        wanted = DeviceFilter(limits, limit=_PART)
        while True:
            found = await self._store.reports(wanted)
            await asyncio.to_thread(tally.add, found)
            if len(found) < _PART:
                return tally
            wanted = replace(wanted, after=(found[-1].id,))

    async def plc_summary(self, limits: Mapping[str, str]) -> PlcSummary:
        return (await self.tally(limits)).summary()
