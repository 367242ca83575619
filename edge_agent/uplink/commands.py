"""The centre's commands: fetched by a long poll, reported of until the centre has heard, their files sent.

The poll holds one connection of the client's; uploads and heartbeats never wait for it. A centre without this
route is asked rarely, and so is one that refuses.
"""

import asyncio
from random import Random
from typing import Final, Literal, Protocol
from urllib.parse import quote

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.commands import CommandDesk
from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink.client import parse_answer
from edge_agent.uplink.errors import (
    Blocked,
    Invalid,
    Refused,
    RetryAfter,
    SeqConflict,
    Unreachable,
    Unusable,
    UplinkFault,
)
from edge_agent.uplink.transport import Reply
from edge_agent.wire.commands import CommandOffers
from edge_agent.wire.messages import Message

logger = structlog.stdlib.get_logger(__name__)

Mode = Literal["long", "heartbeat"]
WAIT_SECONDS: Final = 50.0
# A proxy that has less patience is asked for shorter waits, but for none shorter than this.
LEAST_WAIT_SECONDS: Final = 10.0
# How often a device that does not hold a poll looks by itself: without hints, and while a command is open.
LOOK_SECONDS: Final = 600.0
BUSY_LOOK_SECONDS: Final = 15.0
# A centre without this route, or one that refuses it.
RARE_SECONDS: Final = 900.0
# Between two requests where the first brought something: what was taken is reported meanwhile.
_NEXT_SECONDS: Final = 0.2
_PROMPT_SECONDS: Final = 1.0
_JITTER: Final = 0.2
# So many polls in a row that ended before their time make the next ones shorter.
_CUTS: Final = 3
# What only the centre says: that it has a report, and that it does not know a command.
_STORED: Final = 204
_UNKNOWN: Final = "unknown_command"


class Exchange(Protocol):
    """The client, as far as it is needed here."""

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None,
        if_none_match: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Reply: ...


class CommandPoll:
    """`run` is a part of the crew. requests: how many there were."""

    def __init__(
        self, client: Exchange, desk: CommandDesk, clock: Clock, mode: Mode, random: Random | None = None
    ) -> None:
        self.requests = 0
        self._client = client
        self._desk = desk
        self._clock = clock
        self._mode = mode
        self._random = random or Random()
        self._wait = WAIT_SECONDS if mode == "long" else 0.0
        self._hinted = asyncio.Event()
        self._polling = False
        self._cut = 0
        self._failed = Backoff(1.0, 60.0, random=self._random)
        self._stuck = Backoff(1.0, 60.0, random=self._random)
        # What was offered again, and answers that were not held back.
        self._same = Backoff(0.5, 10.0, random=self._random)
        self._prompt = Backoff(1.0, 30.0, random=self._random)
        self._outages = OutageLog(logger, clock)

    def hint(self, waiting: int) -> None:
        """An upload's or a heartbeat's answer says so. While a poll is held the centre answers that."""
        if waiting > 0 and not self._polling:
            self._hinted.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            hinted = self._hinted.is_set()
            self._hinted.clear()
            pause = await self._ask(0.0 if hinted else self._wait)
            # However many hints there are, they make no storm.
            least = min(pause, _PROMPT_SECONDS)
            await self._clock.sleep(least)
            await wait_for_event(self._hinted, pause - least, self._clock)

    async def _ask(self, wait: float) -> float:
        """One request. The pause after it in seconds."""
        began = self._clock.monotonic()
        self._polling = True
        self.requests += 1
        try:
            path = f"/commands?wait={wait:g}"
            reply = await self._client.exchange("GET", path, None, None, wait_seconds=wait)
            offers = parse_answer(CommandOffers, reply)
        except UplinkFault as fault:
            return self._fault(fault, self._clock.monotonic() - began, wait)
        finally:
            self._polling = False
        self._outages.back("poll", "commands can be asked for again")
        self._failed.reset()
        return await self._take(offers, self._clock.monotonic() - began, wait)

    async def _take(self, offers: CommandOffers, seconds: float, wait: float) -> float:
        try:
            new = (offers.commands or offers.cancel) and await self._desk.take(offers)
        except StorageFailed as error:
            self._outages.down("journal", "commands cannot be taken", error=str(error))
            return self._stuck.next()
        self._stuck.reset()
        self._outages.back("journal", "commands can be taken again")
        if offers.commands or offers.cancel:
            if new:
                self._same.reset()
            return _NEXT_SECONDS if new else self._same.next()
        self._same.reset()
        if not self._wait:
            return self._jittered(BUSY_LOOK_SECONDS if self._desk.busy else LOOK_SECONDS)
        if wait and seconds < _PROMPT_SECONDS:
            return self._prompt.next()
        self._prompt.reset()
        self._cut = 0
        return 0.0

    def _fault(self, fault: UplinkFault, seconds: float, wait: float) -> float:
        if isinstance(fault, Refused):
            if fault.status != 404:  # an older centre is no outage
                self._outages.down("poll", "commands cannot be asked for", error=str(fault))
            return self._jittered(RARE_SECONDS)
        if isinstance(fault, Unusable) and LEAST_WAIT_SECONDS <= seconds < wait:
            self._cut += 1
            if self._cut >= _CUTS:  # by something on the way, and not by a centre that was restarted
                self._wait, self._cut = max(LEAST_WAIT_SECONDS, 0.8 * seconds), 0
                logger.info("the poll for commands is shortened", seconds=round(self._wait), error=str(fault))
        self._outages.down("poll", "commands cannot be asked for", error=str(fault))
        pause = self._failed.next()
        if isinstance(fault, RetryAfter):
            pause = max(pause, fault.delay_seconds * (1 + _JITTER * self._random.random()))
        return pause

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 - _JITTER * self._random.random())


class CommandReports:
    """`run` is a part of the crew: tells the centre what became of each command."""

    def __init__(
        self, client: Exchange, desk: CommandDesk, clock: Clock, random: Random | None = None
    ) -> None:
        self._client = client
        self._desk = desk
        self._clock = clock
        self._random = random or Random()
        self._failed = Backoff(0.5, 60.0, random=self._random)
        self._outages = OutageLog(logger, clock)

    async def run(self) -> None:
        """Never returns."""
        failed = ""
        while True:
            ready = await self._desk.wait()
            # One that is refused again and again comes last, or it would hold up all others.
            behind = ready.index(failed) + 1 if failed in ready else 0
            for command in ready[behind:] + ready[:behind]:
                pause = await self._tell(command)
                if pause:
                    failed = command
                    await self._clock.sleep(pause)
                    break

    async def _tell(self, command: str) -> float:
        """One report. The pause that is due after it, or 0."""
        try:
            report = await self._desk.report(command)
        except StorageFailed as error:
            self._outages.down("journal", "reports cannot be journalled", error=str(error))
            return self._failed.next()
        if report is None:
            return 0.0
        body = report.model_dump_json().encode()
        path = f"/commands/{quote(command, safe='')}/report"
        try:
            reply = await self._client.exchange("POST", path, body, "application/json")
            if reply.status != _STORED:  # a captive portal says 200
                raise Unusable(f"{reply.status}, but the answer to a report is not the centre's")
        except (Invalid, Blocked, SeqConflict) as fault:
            await self._desk.unacceptable(command, report.no, str(fault))
            return _PROMPT_SECONDS
        except Refused as fault:
            if fault.code == _UNKNOWN:
                await self._desk.forget(command)
                return 0.0
            # A proxy without a centre behind it says 404 too, and for seconds.
            is_brief = fault.status == 404 and not fault.code
            return self._fault(fault, 0.0 if is_brief else RARE_SECONDS / 10)
        except UplinkFault as fault:
            return self._fault(fault, fault.delay_seconds if isinstance(fault, RetryAfter) else 0.0)
        self._outages.back("reports", "reports of commands arrive again")
        self._failed.reset()
        await self._desk.acknowledged(command, report.no)
        return 0.0

    def _fault(self, fault: UplinkFault, least: float) -> float:
        self._outages.down("reports", "reports of commands do not arrive", error=str(fault))
        return max(self._failed.next(), least * (1 + _JITTER * self._random.random()))


class _File(Message):
    sha256: str


async def send_artifact(
    client: Exchange, clock: Clock, command: str, name: str, data: bytes, sha256: str
) -> None:
    """Sends a file until the centre says that it has these bytes. Raises the other UplinkFaults: then it
    never will.

    name: as it is called for people.
    """
    backoff = Backoff(1.0, 30.0)
    path = f"/commands/{quote(command, safe='')}/artifact?name={quote(name, safe='')}"
    while True:
        try:
            reply = await client.exchange("PUT", path, data, "application/octet-stream")
            if parse_answer(_File, reply).sha256 == sha256:
                return
            await clock.sleep(backoff.next())
        except RetryAfter as fault:
            await clock.sleep(max(fault.delay_seconds, backoff.next()))
        except Unreachable:
            await clock.sleep(backoff.next())
