"""How the centre is, as far as the uploads can tell, and when to knock again.

While it is away nobody but the live lane sends, and that no more often than this says.
"""

import asyncio
from random import Random
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink.errors import (
    NotAccepted,
    Refused,
    RetryAfter,
    Unreachable,
    Unusable,
    UplinkFault,
)

logger = structlog.stdlib.get_logger(__name__)

# The newest value is there within 5 s of the centre's return: knocking may not be rarer than this.
KNOCK_FIRST_SECONDS: Final = 0.5
KNOCK_MAX_SECONDS: Final = 3.0
KNOCK_LEAST_SECONDS: Final = 0.1
REFUSED_FIRST_SECONDS: Final = 30.0
REFUSED_MAX_SECONDS: Final = 900.0
# How soon a wait for the next knock notices that there is reason to knock now.
_NOTICE_SECONDS: Final = 2.0
# A fleet was told the same number: each adds up to this share of it.
_RETRY_JITTER: Final = 0.5


class Reach:
    """`state`: ok, unreachable, refused. `available` is set while the centre takes data."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.available = asyncio.Event()
        self.state = "unreachable"
        self.detail = "not tried yet"
        self.connects = False  # whatever is there takes connections, be it a centre or not
        self._clock = clock
        self._random = random
        self._knock = Backoff(KNOCK_FIRST_SECONDS, KNOCK_MAX_SECONDS, random=random)
        self._refusal = Backoff(REFUSED_FIRST_SECONDS, REFUSED_MAX_SECONDS, random=random)
        self._retry_at = 0.0
        self._outages = OutageLog(logger.bind(sink="central"), clock)

    def answered(self) -> None:
        """The centre acknowledged something."""
        self._knock.reset()
        self._refusal.reset()
        self._retry_at = 0.0
        self.state, self.detail, self.connects = "ok", "", True
        self.available.set()
        self._outages.back("centre", "the centre takes data again")

    def failed(self, fault: UplinkFault, began: float) -> None:
        """An exchange that began then (monotonic seconds) ended with `fault`."""
        now = self._clock.monotonic()
        match fault:
            case Refused():
                self.state = "refused"
                delay = self._refusal.next()
            case RetryAfter(delay_seconds=seconds):
                self.state = "unreachable"
                delay = max(seconds * (1 + _RETRY_JITTER * self._random.random()), self._knock.next())
            case _:
                self.state = "unreachable"
                # Knocks begin this far apart: one that took long to fail has waited already.
                delay = max(KNOCK_LEAST_SECONDS, self._knock.next() - (now - began))
        self.detail = str(fault)
        self.connects = not isinstance(fault, Unreachable) or isinstance(fault, Unusable)
        self.available.clear()
        self._retry_at = max(self._retry_at, now + delay)
        if isinstance(fault, NotAccepted):
            return  # `Standing` has said so, for all that asks
        self._outages.down("centre", "the centre does not take data", error=self.detail)

    def try_now(self) -> None:
        """What was refused may be taken now: knock within seconds."""
        self._refusal.reset()
        self._retry_at = 0.0

    @property
    def knock_seconds(self) -> float:
        """How long `until_knock` takes at most."""
        return max(0.0, self._retry_at - self._clock.monotonic())

    async def until_knock(self) -> None:
        """Returns when something may be sent: the centre is there, or it is time to try."""
        while not self.available.is_set():
            left = self._retry_at - self._clock.monotonic()
            if left <= 1e-6:
                return
            await wait_for_event(self.available, min(left, _NOTICE_SECONDS), self._clock)
