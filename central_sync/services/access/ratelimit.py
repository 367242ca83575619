"""How often somebody may ask: a bucket for each token and each address, in bounded memory. Pure but for the
clock.

A bucket is one number, the time at which it will be full again (GCRA): a request moves it on by the time
that one request earns back, and is refused where that would lie further ahead than the burst.
"""

import ipaddress
from typing import Final

from central_sync.services.clock import Clock

# More than the devices of a centre, so that none pushes another out.
MAX_BUCKETS: Final = 60_000
# A bucket holds what so many seconds earn: nobody who comes back after an outage is held up.
BURST_SECONDS: Final = 20.0


class RateLimit:
    """Buckets of one kind. per_second: requests that each may make in the long run."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._clock = clock
        self._step = 1.0 / per_second
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> float:
        """0.0 where one more request is good, else the seconds until it will be."""
        now = self._clock.monotonic()
        full_at = max(now, self._full_at.get(key, 0.0)) + self._step
        wait = full_at - now - BURST_SECONDS
        if wait > 0:
            return wait
        if key not in self._full_at and len(self._full_at) >= MAX_BUCKETS:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[key] = full_at
        return 0.0

    def wait(self, key: str) -> float:
        """What `take` would say, without taking."""
        now = self._clock.monotonic()
        return max(0.0, max(now, self._full_at.get(key, 0.0)) + self._step - now - BURST_SECONDS)

    def __len__(self) -> int:
        return len(self._full_at)


def subject(address: str | None) -> str:
    """What is counted for an address: an IPv6 client has a whole /64 to come from."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
