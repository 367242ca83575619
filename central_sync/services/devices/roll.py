"""The roll: what is known of each device, so that a heartbeat that says nothing new costs no commit.

A heartbeat whose standing and resulting state are those on the disk is quiet: it is answered at once and kept
here until it is written, together with others, within `KEEP_SECONDS`, before the next operator's GET, or with
the device's next heartbeat that is not quiet. A killed centre forgets those: figures and `last_seen` of some
minutes, nothing that anybody was promised.

Entries are put in and taken out in the writer's thread in the order of the commits, and taken out in any;
what waits is touched in the event loop alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.likeness import Beat, Like, Steady, beat_of, steady_of
from edge_agent.wire.messages import Heartbeat

KEEP_SECONDS: Final = 300.0
MAX_ENTRIES: Final = 200_000
STEP_MS: Final = 30_000
# An hour, for as long as nothing can be written.
MAX_POINTS: Final = 120


class Figures(NamedTuple):
    """One point of a device's series; at: UTC milliseconds, a multiple of `STEP_MS`."""

    at: int
    cpu_percent: float | None
    memory_bytes: float | None
    disk_free_bytes: float | None
    uptime_seconds: float | None
    pending_batches: float | None
    pending_bytes: float | None
    clock_offset: float | None
    connections_ok: int
    connections: int


def figures(message: Heartbeat, now: int) -> Figures:
    """The point of the series that a heartbeat makes."""
    return point(beat_of(message), steady_of(message), now)


def point(beat: Beat, steady: Steady, now: int) -> Figures:
    return Figures(
        now - now % STEP_MS, beat.cpu_percent, beat.memory_bytes, beat.disk_free_bytes, beat.uptime_seconds,
        beat.pending_batches, beat.pending_bytes, beat.now - now, steady.connections_ok, steady.connections,
    )  # fmt: skip


@dataclass(slots=True)
class Entry:
    """A device as its last commit left it. row: what a live event shows beside the heartbeat, if known.
    like: a heartbeat of this standing that was read, `readings` of them after one that was unlike it; for
    the event loop, all else stays as it is."""

    no: int
    standing: bytes
    state: DeviceState
    last_loss: int | None
    config_etag: str | None
    scripts_etag: str | None
    row: object = None
    like: Like | None = None
    readings: int = 0


@dataclass(slots=True)
class Waiting:
    """Heartbeats of a device that are not written yet: the newest whole, of the others the figures, of the
    newest `MAX_POINTS`. since: when the first came, on the monotonic clock."""

    no: int
    since: float
    body: bytes = b""
    seen: int = 0
    offset: int = 0
    version: str = ""
    points: list[Figures] = field(default_factory=list)

    def add(self, point: Figures) -> None:
        """One a step, the newest."""
        if self.points and self.points[-1].at == point.at:
            self.points.pop()
        self.points.append(point)
        del self.points[:-MAX_POINTS]


class Roll:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._fired: set[str] = set()
        self._waiting: dict[str, Waiting] = {}

    def get(self, device: str) -> Entry | None:
        return self._entries.get(device)

    # --- the writer's thread; `forget` any -----------------------------------------------------------

    def forget(self, device: str) -> None:
        """Something of the entry changes: the next heartbeat looks into the database."""
        self._fired.add(device)
        self._entries.pop(device, None)

    def looked(self, device: str) -> None:
        """Within the transaction of a heartbeat: what was said before is in what it read."""
        self._fired.discard(device)

    def put(self, device: str, entry: Entry) -> None:
        """After that commit, unless the entry was forgotten by a later job of the same commit."""
        if device in self._fired:
            self._fired.discard(device)
        elif len(self._entries) < MAX_ENTRIES or device in self._entries:
            self._entries[device] = entry
            if device in self._fired:
                self._entries.pop(device, None)

    # --- the event loop -----------------------------------------------------------------------------

    def wait(self, device: str, no: int, now: float) -> Waiting:
        """Where a quiet heartbeat is kept; those that wait longest come first."""
        waiting = self._waiting.get(device)
        if waiting is None:
            waiting = self._waiting[device] = Waiting(no, now)
        return waiting

    def take(self, device: str) -> Waiting | None:
        """A heartbeat that is not quiet is on its way: until it is stored no other is."""
        self._entries.pop(device, None)
        return self._waiting.pop(device, None)

    def take_older(self, before: float, limit: int) -> list[tuple[str, Waiting]]:
        """Those of which the first came by that time, at most `limit`."""
        found: list[tuple[str, Waiting]] = []
        for device, waiting in self._waiting.items():
            if waiting.since > before or len(found) >= limit:
                break
            found.append((device, waiting))
        for device, _ in found:
            del self._waiting[device]
        return found

    def give_back(self, taken: Iterable[tuple[str, Waiting]]) -> None:
        """They could not be written: what came meanwhile is newer."""
        for device, waiting in taken:
            newer = self._waiting.pop(device, None)
            if newer is not None:
                newer.points = [*waiting.points, *newer.points][-MAX_POINTS:]
                newer.since = waiting.since
            self._waiting[device] = newer or waiting
