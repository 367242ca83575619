"""Who is overdue: three heartbeats missed, on the clock that nobody sets.

Filled by heartbeats; devices not heard since the start are given three of their last known intervals.
"""

from math import inf
from typing import Final

from central_sync.services.clock import Clock
from central_sync.services.devices.health import MISSED_HEARTBEATS

LONGEST_SECONDS: Final = 3_600.0
SHORTEST_SECONDS: Final = 0.1


class Presence:
    """Written in the event loop; `is_overdue` may be asked in any thread."""

    def __init__(self, clock: Clock, default_seconds: float) -> None:
        self._clock = clock
        self._default = default_seconds
        self._started = clock.monotonic()
        self._due: dict[str, float] = {}

    def heard(self, device: str, interval_seconds: float | None) -> None:
        """Call it before the heartbeat is stored, so that nobody calls the device offline after that."""
        self._due[device] = self._clock.monotonic() + self._patience(interval_seconds)

    def expect(self, device: str, interval_seconds: float | None) -> None:
        """A device that was there before the start."""
        self._due.setdefault(device, self._started + self._patience(interval_seconds))

    def gone(self, device: str) -> None:
        """Somebody who knows says that it is not there any more: it is overdue from now on."""
        self._due[device] = -inf

    def _patience(self, interval_seconds: float | None) -> float:
        seconds = interval_seconds or self._default
        return MISSED_HEARTBEATS * max(SHORTEST_SECONDS, min(seconds, LONGEST_SECONDS))

    def is_overdue(self, device: str) -> bool:
        due = self._due.get(device)
        return due is not None and self._clock.monotonic() > due

    def overdue(self) -> list[str]:
        now = self._clock.monotonic()
        return [device for device, due in self._due.items() if now > due]

    def forget(self, device: str) -> None:
        if self.is_overdue(device):
            del self._due[device]
