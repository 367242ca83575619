"""One station behind a connection: its breaker, its counts and what is wrong with it."""

from dataclasses import dataclass, field
from typing import Final

from edge_agent.contracts.driver import Identity
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
    """refusing: groups in whose last read the unit answered and gave not one value."""

    unit_id: int | None
    breaker: Breaker = field(default_factory=_breaker)
    groups: int = 0
    good_cycles: int = 0
    bad_cycles: int = 0
    error: str = ""
    refusing: set[str] = field(default_factory=set)
    identity: Identity = field(default_factory=Identity)

    def failed(self, now: float, error: str) -> bool:
        """A read that the unit did not answer. True if that is what opened the breaker."""
        was_closed = self.breaker.state is BreakerState.CLOSED
        self.bad_cycles += 1
        self.error = error
        self.breaker.failed(now)
        return was_closed and self.breaker.state is BreakerState.OPEN

    def answered(self, group: str, errors: dict[str, str] | None, *, anything: bool) -> None:
        """A read that was answered. anything: at least one tag got a value; else the group is refused."""
        if anything:
            self.good_cycles += 1
            self.refusing.discard(group)
        else:
            self.bad_cycles += 1
            self.refusing.add(group)
        self.error = "; ".join(f"{what}: {why}" for what, why in errors.items()) if errors else ""
        self.breaker.succeeded()

    @property
    def state(self) -> str:
        """answering, silent, probing; or refusing, where it answers and gives no value in any group."""
        if self.breaker.state is BreakerState.CLOSED and len(self.refusing) == self.groups > 0:
            return "refusing"
        return _STATES[self.breaker.state]

    def report(self) -> UnitReport:
        return UnitReport(
            unit_id=self.unit_id,
            state=self.state,
            error=self.error[:_TEXT],
            groups=self.groups,
            good_cycles=self.good_cycles,
            bad_cycles=self.bad_cycles,
            vendor=self.identity.vendor,
            product=self.identity.product,
            revision=self.identity.revision,
        )
