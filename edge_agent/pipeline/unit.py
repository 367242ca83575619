"""One station behind a connection: its breaker, its counts and what is wrong with it."""

from dataclasses import dataclass, field
from typing import Final

from edge_agent.pipeline.breaker import Breaker, BreakerState
from edge_agent.runtime.backoff import Backoff
from edge_agent.wire.messages import UnitReport

BREAKER_FIRST_SECONDS: Final = 5.0
BREAKER_MAX_SECONDS: Final = 60.0
_TEXT: Final = 2000
# An engineer asks whether the station answers, not how its breaker stands.
_STATES: Final = {
    BreakerState.CLOSED: "answering",
    BreakerState.OPEN: "silent",
    BreakerState.HALF_OPEN: "probing",
}


def _breaker() -> Breaker:
    return Breaker(Backoff(BREAKER_FIRST_SECONDS, BREAKER_MAX_SECONDS))


@dataclass(slots=True)
class Unit:
    unit_id: int | None
    breaker: Breaker = field(default_factory=_breaker)
    groups: int = 0
    good_cycles: int = 0
    bad_cycles: int = 0
    error: str = ""

    def failed(self, now: float, error: str) -> bool:
        """A read that the unit did not answer. True if that is what opened the breaker."""
        was_closed = self.breaker.state is BreakerState.CLOSED
        self.bad_cycles += 1
        self.error = error
        self.breaker.failed(now)
        return was_closed and self.breaker.state is BreakerState.OPEN

    def answered(self, errors: dict[str, str] | None) -> None:
        self.good_cycles += 1
        self.error = "; ".join(f"{what}: {why}" for what, why in errors.items()) if errors else ""
        self.breaker.succeeded()

    def report(self) -> UnitReport:
        return UnitReport(
            unit_id=self.unit_id,
            state=_STATES[self.breaker.state],
            error=self.error[:_TEXT],
            groups=self.groups,
            good_cycles=self.good_cycles,
            bad_cycles=self.bad_cycles,
        )
