"""Whether the centre takes what there is for it: by its acknowledgements, whatever the sockets look like.

Lanes heal by themselves: each POST has its time-out, and knocks never end. This is the second line, for what
keeps all of them from getting through: connections that hang half-open, a name that has moved, a proxy
that says 200 to everything. After one deadline all connections are given up, after two the sink is called
stalled, after three an event is recorded, which arrives when everything else does.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.liveness import Liveness, Looks, Stage
from edge_agent.wire.messages import Event

logger = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
# Longer than any single POST may take: a slow link that still makes progress is not cut off.
DEADLINE_SECONDS: Final = 180.0


class Sender(Protocol):
    """The uploader, as far as it is watched."""

    @property
    def owes(self) -> bool: ...

    @property
    def connects(self) -> bool: ...

    def report(self) -> SinkReport: ...


class SinkWatch:
    """rebuilds: how often all connections were given up."""

    def __init__(
        self,
        sender: Sender,
        renew: Callable[[], Awaitable[None]],
        on_event: Callable[[Event], None],
        clock: Clock,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """renew: gives up all connections. on_event: what operators should see in the device's history."""
        self.rebuilds = 0
        self._sender = sender
        self._renew = renew
        self._on_event = on_event
        self._clock = clock
        self._liveness = Liveness(deadline_seconds, clock.monotonic())
        self._delivered = 0
        self._told_since: float | None = None

    async def run(self) -> None:
        """Never returns."""
        looks = Looks(LOOK_SECONDS, self._clock.monotonic())
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            self._liveness.excuse(looks.held_up(now))
            await self._look(now)

    @property
    def stalled(self) -> bool:
        """Something is there and takes connections, and has acknowledged nothing for two deadlines."""
        return self._liveness.stage(self._clock.monotonic()) >= Stage.STALE and self._sender.connects

    def report(self) -> SinkReport:
        """The sender's, with what it cannot know itself."""
        report = self._sender.report()
        stalled = self.stalled and report.state in ("ok", "unreachable")
        return report.model_copy(
            update={"rebuilds": self.rebuilds, **({"state": "stalled"} if stalled else {})}
        )

    async def _look(self, now: float) -> None:
        delivered = self._sender.report().delivered_bytes
        if delivered != self._delivered or not self._sender.owes:
            self._delivered = delivered
            self._liveness.alive(now)
            self._tell_back(now)
            return
        if self._liveness.rebuild_due(now):
            self.rebuilds += 1
            await self._renew()
        if self._liveness.stage(now) is Stage.SILENT and self._told_since is None:
            self._tell_silent(now)

    def _tell_silent(self, now: float) -> None:
        report = self.report()
        seconds = self._liveness.silence(now)
        self._told_since = now - seconds
        why = f": {report.state}: {report.detail}" if report.detail else f": {report.state}"
        logger.warning("nothing was acknowledged", sink=report.name, seconds=round(seconds), error=why[2:])
        self._record("sink_silent", f"sink {report.name} has taken nothing for {seconds:.0f} s{why}", seconds)

    def _tell_back(self, now: float) -> None:
        if self._told_since is None:
            return
        seconds, self._told_since = now - self._told_since, None
        name = self._sender.report().name
        logger.info("acknowledged again", sink=name, seconds=round(seconds))
        self._record("sink_back", f"sink {name} takes data again, after {seconds:.0f} s", seconds)

    def _record(self, code: str, message: str, seconds: float) -> None:
        data = {"sink": self._sender.report().name, "seconds": round(seconds, 1), "rebuilds": self.rebuilds}
        self._on_event(Event(time=self._clock.wall_ms(), code=code, message=message[:1000], data=data))
