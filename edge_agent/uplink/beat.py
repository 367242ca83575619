"""Heartbeats and the config poll: small loops beside the upload, each indifferent to the other's trouble."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink.client import CentreClient, NewConfig
from edge_agent.uplink.errors import RetryAfter, UplinkFault
from edge_agent.wire.messages import Heartbeat

logger = structlog.stdlib.get_logger(__name__)

_JITTER: Final = 0.1
_FASTEST_SECONDS: Final = 1.0


class Heartbeats:
    """Sends what `build` returns every `interval`, and at once when `soon` is called."""

    def __init__(
        self,
        client: CentreClient,
        build: Callable[[], Heartbeat],
        interval: float,
        clock: Clock,
        on_hint: Callable[[str | None], None],
    ) -> None:
        self._client = client
        self._build = build
        self._interval = interval
        self._clock = clock
        self._on_hint = on_hint
        self._soon = asyncio.Event()
        self._random = Random()
        self._outages = OutageLog(logger, clock)
        self.answered = False

    def soon(self) -> None:
        """Something changed that the centre should know before the next beat is due."""
        self._soon.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            delay = self._interval * (1 - _JITTER * self._random.random())
            try:
                answer = await self._client.heartbeat(self._build())
            except UplinkFault as fault:
                self.answered = False
                self._outages.down("heartbeat", "heartbeats do not arrive", error=str(fault))
                if isinstance(fault, RetryAfter):
                    delay = max(delay, fault.delay_seconds)
            else:
                self.answered = True
                self._outages.back("heartbeat", "heartbeats arrive again")
                self._on_hint(answer.config_etag)
                if answer.heartbeat_interval:
                    self._interval = max(_FASTEST_SECONDS, answer.heartbeat_interval)
            # A burst of changes makes one early beat, not many.
            await self._clock.sleep(min(_FASTEST_SECONDS, delay))
            await wait_for_event(self._soon, delay - _FASTEST_SECONDS, self._clock)
            self._soon.clear()


class ConfigPoll:
    """Asks for a new config every `interval` and when a hint says that there is one."""

    def __init__(
        self,
        client: CentreClient,
        known: Callable[[], str | None],
        take: Callable[[NewConfig], Awaitable[None]],
        interval: float,
        clock: Clock,
    ) -> None:
        self._client = client
        self._known = known
        self._take = take
        self._interval = interval
        self._clock = clock
        self._hinted = asyncio.Event()
        self._random = Random()
        self._outages = OutageLog(logger, clock)

    def hint(self, etag: str | None) -> None:
        """The centre says which config it has for this device."""
        if etag is not None and etag != self._known():
            self._hinted.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._hinted.clear()
            try:
                found = await self._client.config(self._known())
            except UplinkFault as fault:
                self._outages.down("config", "the centre's config cannot be asked for", error=str(fault))
            else:
                self._outages.back("config", "the centre's config can be asked for again")
                if found is not None:
                    await self._take(found)
            await self._clock.sleep(_FASTEST_SECONDS)
            delay = self._interval * (1 - _JITTER * self._random.random())
            await wait_for_event(self._hinted, delay - _FASTEST_SECONDS, self._clock)
