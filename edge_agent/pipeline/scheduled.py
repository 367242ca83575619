"""A group with its unit and its place in time: what a poller turns over."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.driver import Acknowledging, Driver, Subscribing
from edge_agent.contracts.status import LatestValue
from edge_agent.pipeline.breaker import BreakerState
from edge_agent.pipeline.group import Group
from edge_agent.pipeline.schedule import Schedule
from edge_agent.pipeline.unit import Unit
from edge_agent.runtime.liveness import Stage
from edge_agent.wire.messages import GroupReport
from edge_agent.wire.schema import TagSchema

# A group that brought nothing is read again before its next turn, where that is further away than this.
RETRY_SECONDS: Final = 5.0
_MARGIN_NS: Final = 1_000_000


@dataclass(slots=True)
class Scheduled:
    """read_cap_seconds: bounds a driver that forgot a time-out. stale_seconds: a value older than this is not
    shown as good any more. liveness_seconds: how long the group may bring nothing.
    """

    group: Group
    unit: Unit
    schedule: Schedule
    read_cap_seconds: float
    stale_seconds: float
    liveness_seconds: float

    def reschedule(self, clock: Clock, excused_ns: int) -> None:
        """To its next turn after a cycle. excused_ns: see `Schedule.advance`."""
        now = clock.mono_ns()
        self.schedule.advance(now, excused_ns)
        if self.group.silent:
            breaker = self.unit.breaker
            is_open = breaker.state is BreakerState.OPEN
            wait = breaker.retry_at - clock.monotonic() if is_open else RETRY_SECONDS
            # Not a moment before the breaker allows it, which reckons in seconds.
            self.schedule.hasten(now + round(max(0.0, wait) * 1e9) + _MARGIN_NS)

    def grow_stale(self, mono_ns: int, wall_ms: int) -> None:
        """It is silent. Where cycles go on they say themselves what is wrong; else it is said here."""
        if mono_ns - self.group.cycled_ns >= self.liveness_seconds * 1e9:
            self.group.grow_stale(mono_ns, wall_ms)

    def take_left_over(self, driver: Driver, mono_ns: int, wall_ms: int) -> None:
        """What was sent and not read yet, when the link is closed for good."""
        if not isinstance(driver, Subscribing):
            return
        reading = driver.left_over(self.group.plan)
        if reading is not None and reading.news is not None:
            self.group.take(reading, mono_ns, wall_ms)
            self.tell_taken(driver)

    def tell_taken(self, driver: Driver) -> None:
        """What the driver handed over last is in frames."""
        if isinstance(driver, Acknowledging):
            driver.taken(self.group.plan)

    def latest(self, mono_ns: int, wanted: Mapping[int, TagSchema] | None = None) -> list[LatestValue]:
        """The newest values as they are to be shown at `mono_ns`; see `Group.latest`."""
        return self.group.latest(mono_ns - round(self.stale_seconds * 1e9), wanted)

    def report(self, stage: Stage, now: float) -> GroupReport:
        heard_ms = self.group.heard_ms
        waits = stage is Stage.LIVE and heard_ms is None
        return GroupReport(
            name=self.group.schema.group,
            unit_id=self.unit.unit_id,
            state="waiting" if waits else stage.label,
            last_data=heard_ms,
            age_seconds=None if heard_ms is None else round(max(0.0, now - self.group.heard_ns / 1e9), 3),
            deadline_seconds=self.liveness_seconds,
        )


def turns(groups: Sequence[Scheduled], latest_ns: int | None = None) -> list[tuple[int, int]]:
    """A heap of when each is due, and its place. latest_ns: all are due by then, wherever their grids are."""
    if latest_ns is not None:
        for item in groups:
            item.schedule.hasten(latest_ns)
    queue = [(item.schedule.due, place) for place, item in enumerate(groups)]
    heapq.heapify(queue)
    return queue
