"""When logins are held up after failures: growing delays for an account and for an address. Pure.

An account is held up for a quarter of an hour at most, and never for an address that its owner came from
lately: whoever keeps guessing elsewhere cannot lock him out. While it is held up nothing is counted.
"""

from dataclasses import dataclass
from typing import Final

# Failures that are free, and the first delay after them; each further failure doubles it.
FREE_ACCOUNT: Final = 5
FREE_ADDRESS: Final = 20
FIRST_DELAY_MS: Final = 30_000
MAX_DELAY_MS: Final = 900_000
# Failures are forgotten after so long without another one.
FORGET_MS: Final = 86_400_000
# For so long an address that somebody came from counts as his.
KNOWN_ADDRESS_MS: Final = 30 * 86_400_000
MAX_SUBJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept of one account or address. until: UTC milliseconds."""

    failures: int = 0
    last: int = 0
    until: int = 0


def free(subject: str) -> int:
    return FREE_ACCOUNT if subject.startswith("account:") else FREE_ADDRESS


def after_attempt(held: Held, subject: str, now: int) -> Held:
    """What is kept once one more attempt began: it counts as failed until it succeeded, so that many at once
    are many."""
    failures = 1 if now - held.last >= FORGET_MS else held.failures + 1
    over = failures - free(subject)
    delay = min(FIRST_DELAY_MS << min(over, 10), MAX_DELAY_MS) if over >= 0 else 0
    return Held(failures, now, now + delay)


def after_success(held: Held) -> Held:
    """What is kept once the attempt that was counted last succeeded: it was none of the failures."""
    return Held(max(0, held.failures - 1), held.last, 0)


def wait_seconds(held: Held, now: int) -> float:
    """0.0: it may be tried. A clock that was set back makes nobody wait longer than the longest delay."""
    if held.until <= now:
        return 0.0
    return min(held.until - now, MAX_DELAY_MS) / 1000
