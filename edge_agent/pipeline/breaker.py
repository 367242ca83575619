"""A unit's circuit breaker: a station that does not answer must not starve its neighbours on the bus. Pure.

closed → open after `threshold` unanswered reads in a row → half open when the wait is over: one read may
try → closed, or open again for longer. Reads of a connection come one after the other, and each is counted
before the next is asked for: so a half-open breaker lets one through.
"""

from enum import StrEnum

from edge_agent.runtime.backoff import Backoff


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """retry_at: while open, when the next read may try (monotonic seconds)."""

    def __init__(self, backoff: Backoff, threshold: int = 3) -> None:
        self._backoff = backoff
        self._threshold = threshold
        self._failures = 0
        self.retry_at = 0.0
        self.state = BreakerState.CLOSED

    def allows(self, now: float) -> bool:
        """Whether a read may try at `now` (monotonic seconds)."""
        if self.state is BreakerState.OPEN and now >= self.retry_at:
            self.state = BreakerState.HALF_OPEN
        return self.state is not BreakerState.OPEN

    def succeeded(self) -> None:
        self._failures = 0
        self._backoff.reset()
        self.state = BreakerState.CLOSED

    def failed(self, now: float) -> None:
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN or self._failures >= self._threshold:
            self.state = BreakerState.OPEN
            self.retry_at = now + self._backoff.next()
