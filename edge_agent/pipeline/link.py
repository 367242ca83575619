"""What the status shows of a connection's link, and how late cycles began."""

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf
from typing import Final

from edge_agent.contracts.hooks import LinkChange
from edge_agent.contracts.status import LatenessReport

_LATENCY_WEIGHT: Final = 0.1
_ERROR_CHARACTERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """The connection as it is configured: name, driver and address for people; the cap on a `connect`, and
    on what is done between polls."""

    name: str
    driver_name: str
    address: str
    connect_cap_seconds: float


@dataclass(slots=True)
class LinkState:
    """`state`: connecting, connected (something answered), down, stopped; `since_ms` on the wall clock."""

    state: str = "connecting"
    since_ms: int = 0
    error: str = ""
    latency_ms: float | None = None

    def change(self, state: str, wall_ms: int, error: str = "") -> None:
        if state != self.state:
            self.since_ms = wall_ms
        self.state = state
        self.error = error

    def seen(self, line: Line) -> LinkChange:
        """As it is, for those who compare it with what it was."""
        error = self.error[:_ERROR_CHARACTERS]
        return LinkChange(line.name, line.driver_name, line.address, self.state, self.since_ms, error)

    def note_latency(self, seconds: float) -> None:
        """A moving mean of how long whole reads take."""
        latency_ms = seconds * 1000
        old = self.latency_ms
        self.latency_ms = latency_ms if old is None else old + _LATENCY_WEIGHT * (latency_ms - old)


@dataclass(slots=True)
class Lateness:
    """How late cycles began, over all connections: counts by upper bound in milliseconds."""

    bounds_ms: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, inf)
    counts: list[int] = field(default_factory=lambda: [0] * 11)

    def note(self, nanoseconds: int) -> None:
        self.counts[bisect_left(self.bounds_ms, nanoseconds / 1e6)] += 1

    def report(self) -> LatenessReport:
        return LatenessReport(bounds_ms=list(self.bounds_ms[:-1]), counts=list(self.counts))
