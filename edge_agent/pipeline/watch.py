"""Looks at all connections once a second: who has fallen silent, who is back; one event each way.

A task apart from the pollers, which a hung driver keeps waiting. What was told outlives a reload, so that
whatever is mended by a new config is told to be back as well.
"""

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.frames import FrameSink
from edge_agent.pipeline.liveness import Subject
from edge_agent.pipeline.poller import Poller
from edge_agent.runtime.liveness import Looks
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Event

logger = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS: Final = 1.0


class LivenessWatch:
    """silent: who was told to be silent, and since when (monotonic seconds)."""

    def __init__(self, clock: Clock, sink: FrameSink, pollers: Callable[[], Iterable[Poller]]) -> None:
        self._clock = clock
        self._sink = sink
        self._pollers = pollers
        self.silent: dict[Subject, float] = {}

    async def run(self) -> None:
        """Never returns."""
        looks = Looks(LOOK_SECONDS, self._clock.monotonic())
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            self._look(now, looks.held_up(now))

    def _look(self, now: float, excused: float) -> None:
        pollers = {poller.name: poller for poller in self._pollers()}
        self.silent = {subject: since + excused for subject, since in self.silent.items()}
        for poller in pollers.values():
            for subject in poller.look(now, excused).silent:
                if subject not in self.silent and not self._is_covered(subject):
                    self._tell_silent(subject, poller, now)
        for subject in list(self.silent):
            found = pollers.get(subject.connection)
            silence = None if found is None else found.silence(subject, now)
            if silence is None:
                self._tell_back(subject, now, "is not polled any more")
            elif now - silence > self.silent[subject]:
                self._tell_back(subject, now, "brings data again")

    def _is_covered(self, subject: Subject) -> bool:
        """Whether what it is part of was told of, and is not back yet."""
        whole = Subject("connection", subject.connection)
        unit = Subject("unit", subject.connection, subject.unit_id)
        return whole in self.silent or (subject.kind == "group" and unit in self.silent)

    def _tell_silent(self, subject: Subject, poller: Poller, now: float) -> None:
        seconds = poller.silence(subject, now) or 0.0
        self.silent[subject] = now - seconds
        report = poller.report()
        errors = [report.error] + [unit.error for unit in report.units if _concerns(subject, unit.unit_id)]
        why = next(filter(None, errors), "")
        message = f"{subject.text} has brought no data for {seconds:.0f} s"
        logger.warning("no data", **_named(subject), seconds=round(seconds, 1), error=why)
        self._record(subject, "silent", f"{message}{f': {why}' if why else ''}", seconds)

    def _tell_back(self, subject: Subject, now: float, how: str) -> None:
        seconds = now - self.silent.pop(subject)
        logger.info("data again", **_named(subject), seconds=round(seconds, 1), how=how)
        self._record(subject, "back", f"{subject.text} {how}, after {seconds:.0f} s", seconds)

    def _record(self, subject: Subject, what: str, message: str, seconds: float) -> None:
        event = Event(
            time=self._clock.wall_ms(),
            code=f"{subject.kind}_{what}",
            message=message[:1000],
            connection=subject.connection,
            data={**_named(subject), "seconds": round(seconds, 1)},
        )
        self._sink.record(Kind.EVENT, event.model_dump(mode="json"))


def _concerns(subject: Subject, unit_id: int | None) -> bool:
    return subject.kind == "connection" or subject.unit_id == unit_id


def _named(subject: Subject) -> dict[str, str | int | None]:
    names: dict[str, str | int | None] = {"connection": subject.connection}
    if subject.kind != "connection":
        names["unit_id"] = subject.unit_id
    if subject.kind == "group":
        names["group"] = subject.group
    return names
