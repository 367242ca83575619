"""When a hook is not tried any more, and when again. Pure.

on → off after three calls in a row of which nothing came → after 60 s one call may try → on again, or off for
twice as long, up to an hour.
"""

from typing import Final

from edge_agent.runtime.backoff import Backoff

THRESHOLD: Final = 3
FIRST_SECONDS: Final = 60.0
MOST_SECONDS: Final = 3_600.0


class HookBreaker:
    """retry_at: while off, when a call may try (monotonic seconds)."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_SECONDS, MOST_SECONDS, jitter=0)
        self._failures = 0
        self.is_off = False
        self.retry_at = 0.0

    def allows(self, now: float) -> bool:
        return not self.is_off or now >= self.retry_at

    def succeeded(self) -> bool:
        """Whether the hook is back with this."""
        was_off, self.is_off, self._failures = self.is_off, False, 0
        self._backoff.reset()
        return was_off

    def failed(self, now: float) -> bool:
        """Whether the hook is off with this, and was not before."""
        self._failures += 1
        if not self.is_off and self._failures < THRESHOLD:
            return False
        was_off, self.is_off = self.is_off, True
        self.retry_at = now + self._backoff.next()
        return not was_off
