"""Heartbeats and the polls for documents: small loops beside the upload, each indifferent to the other's
trouble."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Protocol

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink.client import NewDocument, opaque_tag
from edge_agent.uplink.errors import NotAccepted, RetryAfter, UplinkFault
from edge_agent.wire.messages import Heartbeat, HeartbeatAnswer, Resend

logger = structlog.stdlib.get_logger(__name__)

_JITTER: Final = 0.1
FASTEST_SECONDS: Final = 1.0
# Documents, one right after the other, that somebody who works at the centre may want to see taken at once.
# Each is tried and kept on disk: where there is a new one all the time, the next ones have to wait.
_AT_ONCE: Final = 10
# While the centre does not accept this device.
REFUSED_SECONDS: Final = (30.0, 900.0)
SLOWEST_SECONDS: Final = 3600.0


class HeartbeatCentre(Protocol):
    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer: ...


def _always() -> bool:
    return True


def _nothing(_: float | None) -> None: ...


def _no_commands(_: int) -> None: ...


def _no_hint(_: str | None) -> None: ...


async def _no_epochs(_: Resend) -> None: ...


class Heartbeats:
    """Sends what `build` returns every `interval`, and at once when `soon` is called.

    offset_ms: by how much this clock is ahead of the centre's, after the newest answer.
    """

    def __init__(
        self,
        client: HeartbeatCentre,
        build: Callable[[], Heartbeat],
        interval: float,
        clock: Clock,
        on_hint: Callable[[str | None], None],
        on_pace: Callable[[float | None], None] = _nothing,
        on_resend: Callable[[Resend], Awaitable[None]] = _no_epochs,
        random: Random | None = None,
        on_commands: Callable[[int], None] = _no_commands,
        on_scripts_hint: Callable[[str | None], None] = _no_hint,
    ) -> None:
        """on_hint, on_scripts_hint: get the ETags of the centre's config and of its scripts. on_pace:
        gets the time it wants between uploads. on_commands: gets how many commands wait at the centre.
        on_resend: gets what the centre lacks of an epoch although it once acknowledged it."""
        self._client = client
        self._build = build
        self._interval = interval
        self._clock = clock
        self._on_hint = on_hint
        self._on_pace = on_pace
        self._on_commands = on_commands
        self._on_scripts_hint = on_scripts_hint
        self._on_resend = on_resend
        self._soon = asyncio.Event()
        self._retry = asyncio.Event()
        self._is_refused = False
        self._random = random or Random()
        self._outages = OutageLog(logger, clock)
        self._refusal = Backoff(*REFUSED_SECONDS, random=self._random)
        self.answered = False
        self.offset_ms: float | None = None

    def every(self, seconds: float) -> None:
        """From the next beat on; the centre may ask for another interval."""
        self._interval = seconds

    def soon(self) -> None:
        """Something changed that the centre should know before the next beat is due."""
        self._soon.set()

    def try_now(self) -> None:
        """The centre may accept this device now."""
        self._refusal.reset()
        self._retry.set()
        self._soon.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            asked = await self._beat()
            delay = self._interval * (1 - _JITTER * self._random.random())
            if self._is_refused:
                # Nothing but a reason to try again makes it sooner.
                await wait_for_event(self._retry, self._refusal.next(), self._clock)
            elif asked > delay:
                # The centre wants a pause: what changed meanwhile is in the next beat anyway.
                await self._clock.sleep(asked)
            else:
                # A burst of changes makes one early beat, not many.
                await self._clock.sleep(min(FASTEST_SECONDS, delay))
                await wait_for_event(self._soon, delay - FASTEST_SECONDS, self._clock)
            self._soon.clear()
            self._retry.clear()

    async def _beat(self) -> float:
        """One heartbeat. Returns the pause that the centre asks for in seconds, or 0."""
        sent_ms = self._clock.wall_ms()
        try:
            answer = await self._client.heartbeat(self._build())
        except UplinkFault as fault:
            self.answered = False
            self._is_refused = isinstance(fault, NotAccepted)
            if not self._is_refused:  # `Standing` has said so
                self._outages.down("heartbeat", "heartbeats do not arrive", error=str(fault))
            return fault.delay_seconds if isinstance(fault, RetryAfter) else 0.0
        self.answered, self._is_refused = True, False
        self._refusal.reset()
        # The centre read its clock about half-way between the two readings of ours.
        self.offset_ms = (sent_ms + self._clock.wall_ms()) / 2 - answer.now
        self._outages.back("heartbeat", "heartbeats arrive again")
        if answer.heartbeat_interval:
            self._interval = min(max(FASTEST_SECONDS, answer.heartbeat_interval), SLOWEST_SECONDS)
        self._on_hint(answer.config_etag)
        self._on_scripts_hint(answer.scripts_etag)
        self._on_pace(answer.send_interval)
        self._on_commands(answer.commands_waiting)
        for missing in answer.resend:
            await self._on_resend(missing)
        return 0.0


class DocumentPoll:
    """Asks for a document of the centre's every `interval`, and when a hint says that there is a new one."""

    def __init__(
        self,
        name: str,
        ask: Callable[[str | None], Awaitable[NewDocument | None]],
        known: Callable[[], str | None],
        take: Callable[[NewDocument], Awaitable[None]],
        interval: float,
        clock: Clock,
        is_wanted: Callable[[], bool] = _always,
    ) -> None:
        """name: of what is asked for, in logs. ask: with the ETag of what is `known`; returns what differs
        from it. is_wanted: nothing is asked for while it is not."""
        self._name = name
        self._ask = ask
        self._is_wanted = is_wanted
        self._known = known
        self._take = take
        self._interval = interval
        self._clock = clock
        self._hinted = asyncio.Event()
        self._hint: str | None = None  # the last one that was followed
        self._backoff = Backoff(FASTEST_SECONDS, max(FASTEST_SECONDS, interval))
        self._in_a_row = 0  # answers that had something new
        self._news = Backoff(FASTEST_SECONDS, max(FASTEST_SECONDS, interval), jitter=0)
        self._refusal = Backoff(*REFUSED_SECONDS)
        self._retry = asyncio.Event()
        self._random = Random()
        self._outages = OutageLog(logger, clock)

    def hint(self, etag: str | None) -> None:
        """The centre says which one it has for this device. Each hint is followed once.

        If following it did not help, the next poll will: hints come with every upload.
        """
        hint = opaque_tag(etag)
        if hint is not None and hint not in (self._hint, opaque_tag(self._known())):
            self._hint = hint
            self._hinted.set()

    def every(self, seconds: float) -> None:
        """From the next poll on."""
        self._interval = seconds

    def soon(self) -> None:
        """Asks at once, without a hint."""
        self._hint = None
        self._hinted.set()

    def try_now(self) -> None:
        """The centre may accept this device now."""
        self._refusal.reset()
        self._retry.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._hinted.clear()
            self._retry.clear()
            pause = FASTEST_SECONDS
            try:
                found = await self._ask(self._known()) if self._is_wanted() else None
            except NotAccepted:
                self._hint = None
                await wait_for_event(self._retry, self._refusal.next(), self._clock)
                continue
            except UplinkFault as fault:
                self._outages.down(
                    self._name, f"the centre's {self._name} cannot be asked for", error=str(fault)
                )
                # A hint that could not be followed counts as not given, but hints come all the time.
                self._hint = None
                pause = fault.delay_seconds if isinstance(fault, RetryAfter) else self._backoff.next()
            else:
                self._outages.back(self._name, f"the centre's {self._name} can be asked for again")
                self._backoff.reset()
                self._refusal.reset()
                if found is None:
                    self._in_a_row = 0
                    self._news.reset()
                else:
                    await self._take(found)
                    self._in_a_row += 1
                    if self._in_a_row > _AT_ONCE:
                        pause = self._news.next()
            await self._clock.sleep(pause)
            delay = self._interval * (1 - _JITTER * self._random.random())
            await wait_for_event(self._hinted, delay - pause, self._clock)
