"""Where commands are taken, live and end. Implements contracts.commands.CommandDesk.

Every command has a task from its taking to its end: it waits for a slot, is journalled as running, runs, and
its outcome is journalled. What is to be reported of it is in its `Outgoing` until the centre knows the end.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

import structlog

from edge_agent.commands import life
from edge_agent.commands.context import Context, Device
from edge_agent.commands.entry import Entry, Moment, Outcome
from edge_agent.commands.errors import JournalDamaged, JournalFailed, Refused
from edge_agent.commands.executor import Executor, Slots, cancelled
from edge_agent.commands.journal import Journal
from edge_agent.commands.outgoing import Outgoing
from edge_agent.commands.registry import Order, Registry
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.status import CommandStatus
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.wire.commands import MAX_OFFERED, CommandOffer, CommandOffers, CommandReport, CommandState

logger = structlog.stdlib.get_logger(__name__)

# More than these are not taken until some have ended: the rest waits at the centre.
MOST_OPEN: Final = 200
_RETRY_FIRST_SECONDS: Final = 0.5
_RETRY_MAX_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Live:
    """One command whose end the centre does not know. unwritten: its newest report is not on the disk."""

    entry: Entry
    outgoing: Outgoing
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    unwritten: bool = False
    step: int = 0
    steps: int = 0
    text: str = ""


class Desk:
    """`run` is a part of the crew; all else is called while it runs, or waits until it does."""

    def __init__(
        self,
        journal: Journal,
        registry: Registry,
        device: Device,
        clock: Clock,
        boot: str,
        concurrency: int,
        on_end: Callable[[CommandOffer, Outcome], None],
    ) -> None:
        """boot: of the machine. on_end: hears how each command ended, once it is journalled."""
        self._journal = journal
        self._registry = registry
        self._device = device
        self._clock = clock
        self._boot = boot
        self._on_end = on_end
        self._slots = Slots(concurrency, clock)
        self._concurrency = concurrency
        self._executor = Executor(clock)
        self._open: dict[str, _Live] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ready = asyncio.Event()
        self._news = asyncio.Event()

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Never returns. Goes on with what the journal says was left. Raises StorageFailed."""
        self._slots = Slots(self._concurrency, self._clock)
        entries = await self._load()
        try:
            async with asyncio.TaskGroup() as self._group:
                self._open = {entry.id: _Live(entry, Outgoing(entry)) for entry in entries}
                for live in list(self._open.values()):
                    self._resume(live)
                self._ready.set()
                self._news.set()
                await asyncio.Event().wait()
        finally:
            self._ready.clear()
            self._group = None
            await self._journal.close()

    async def _load(self) -> list[Entry]:
        if not self._journal.exists:
            return []
        try:
            return await self._journal.unfinished()
        except JournalDamaged:
            await self._journal.replace([], suspect=True)
            return []

    def _resume(self, live: _Live) -> None:
        entry = live.entry
        if entry.is_final:
            return
        kind = self._registry.kind(entry.offer.type)
        then, outcome = life.at_start(entry, kind, self._now(), self._device.version)
        if outcome is not None:
            self._spawn(self._end(live, outcome))
            return
        if then is life.Then.AGAIN:
            live.outgoing.say("[the agent ended in the middle of it; it runs again]\n")
        self._spawn(self._live(live, again=then is life.Then.AGAIN))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None, "commands live while the desk runs"
        self._group.create_task(work)

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.wall_ms(), self._boot, self._device.run)

    # --- taking ----------------------------------------------------------------------------------

    async def take(self, offers: CommandOffers) -> bool:
        await self._ready.wait()
        unknown = {each.id: each for each in offers.commands if each.id not in self._open}
        cancel = [each for each in offers.cancel if each not in self._open]
        again = await self._ended_before([*unknown, *cancel])
        known = {entry.id for entry in again}
        fresh = [each for each in unknown.values() if each.id not in known]
        taken = [self._judged(each) for each in fresh[: max(0, MOST_OPEN - len(self._open))]]
        never = set(cancel) - known - set(unknown)
        taken += [life.never_came(each, self._now()) for each in sorted(never)]
        await self._put(*again, *taken)
        for each in offers.commands:
            if each.id in self._open:  # the centre does not know that it is here
                self._open[each.id].outgoing.again()
        for entry in (*again, *taken):
            self._open[entry.id] = _Live(entry, Outgoing(entry))
        for entry in taken:
            logger.info("command taken", command_id=entry.id, type=entry.offer.type, by=entry.offer.by)
            if entry.outcome is not None:
                self._tell_end(entry, entry.outcome)
            else:
                self._spawn(self._live(self._open[entry.id], again=False))
        stopped = self._cancel(offers.cancel)
        if self._journal.suspect and len(offers.commands) < MAX_OFFERED:
            await self._journal.trust()
        self._news.set()
        return bool(taken or stopped)

    async def _ended_before(self, ids: list[str]) -> list[Entry]:
        if not ids or (not self._journal.exists and not self._open):
            return []
        try:
            found = await self._journal.finished(ids)
        except JournalDamaged:
            await self._journal.replace(live.entry for live in self._open.values())
            return []
        return found

    def _judged(self, offer: CommandOffer) -> Entry:
        now = self._now()
        try:
            order = self._registry.order(offer)
        except Refused as refusal:
            outcome = Outcome(CommandState.REJECTED, refusal.code, str(refusal))
            return Entry.of(offer, now, outcome)
        if self._journal.suspect and not order.kind.idempotent:
            return Entry.of(offer, now, life.journal_lost())
        return Entry.of(offer, now, life.expired() if offer.start_seconds <= 0 else None)

    def _cancel(self, ids: Iterable[str]) -> int:
        """How many were not being stopped already."""
        found = [self._open[each] for each in ids if each in self._open]
        fresh = [live for live in found if not live.cancel.is_set()]
        for live in fresh:
            live.cancel.set()
        for live in found:
            if live.entry.is_final:
                live.outgoing.again()
        return len(fresh)

    # --- running ---------------------------------------------------------------------------------

    async def _live(self, live: _Live, *, again: bool) -> None:
        """From here to its end. again: it was begun before a crash."""
        entry = live.entry
        try:
            order = self._registry.order(entry.offer)
            if not again:
                order.judge(self._device)
        except Refused as refusal:
            await self._end(live, Outcome(CommandState.REJECTED, refusal.code, str(refusal)))
            return
        if not again:
            live.outgoing.state(CommandState.ACCEPTED)
            self._news.set()
        seconds = inf if again else life.seconds_left(entry, self._now())
        if not await self._slots.enter(min(seconds, 1e9), live.cancel):
            await self._end(live, cancelled() if live.cancel.is_set() else life.expired())
            return
        try:
            outcome = cancelled() if live.cancel.is_set() else await self._perform(live, order)
        finally:
            self._slots.leave()
        await self._end(live, outcome)

    async def _perform(self, live: _Live, order: Order) -> Outcome:
        entry, now = live.entry, self._now()
        entry.state, entry.run, entry.started_ms = CommandState.RUNNING, now.run, now.wall_ms
        entry.attempts += 1
        try:
            await self._put(entry)
        except JournalFailed as error:
            return Outcome(CommandState.FAILED, "journal_failed", f"it was not begun: {error}"[:2_000])
        live.outgoing.state(CommandState.RUNNING)
        self._news.set()

        def step(number: int, steps: int, text: str) -> None:
            live.step, live.steps, live.text = number, steps, text
            live.outgoing.step(number, steps, text)
            self._news.set()

        def say(text: str) -> None:
            live.outgoing.say(text)
            self._news.set()

        deadline = now.monotonic + order.seconds(entry.offer)
        context = Context(entry.id, self._device, self._clock, deadline, step, say, entry.offer.by or "")
        return await self._executor.run(order, context, live.cancel)

    async def _end(self, live: _Live, outcome: Outcome) -> None:
        """Returns when the outcome is on the disk, however long the disk takes to be one again."""
        entry = live.entry
        if self._open.get(entry.id) is not live:
            return  # the centre does not know it any more
        entry.outcome, entry.state = outcome, outcome.state
        entry.log_base, entry.log = live.outgoing.left
        backoff = Backoff(_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS)
        while True:
            try:
                await self._put(entry)
                break
            except JournalFailed as error:
                logger.error(
                    "the end of a command cannot be journalled", command_id=entry.id, error=str(error)
                )
                await self._clock.sleep(backoff.next())
        live.outgoing.end(outcome)
        self._tell_end(entry, outcome)
        self._news.set()

    def _tell_end(self, entry: Entry, outcome: Outcome) -> None:
        logger.info(
            "command ended",
            command_id=entry.id,
            type=entry.offer.type,
            state=outcome.state.value,
            code=outcome.code,
        )
        self._on_end(entry.offer, outcome)

    # --- reporting -------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return bool(self._open)

    async def wait(self) -> list[str]:
        while True:
            now = self._clock.monotonic()
            due = {
                each: at for each, live in self._open.items() if (at := live.outgoing.due_at()) is not None
            }
            ready = [each for each, at in due.items() if at <= now]
            if ready:
                return ready
            self._news.clear()
            await wait_for_event(
                self._news, min((at - now for at in due.values()), default=3600.0), self._clock
            )

    async def report(self, command: str) -> CommandReport | None:
        live = self._open.get(command)
        if live is None:
            return None
        before = live.entry.no
        found = live.outgoing.next(self._clock.wall_ms(), self._clock.monotonic())
        live.unwritten = live.unwritten or live.entry.no != before
        if live.unwritten:
            await self._put(live.entry)
            live.unwritten = False
        return found

    async def acknowledged(self, command: str, no: int) -> None:
        live = self._open.get(command)
        if live is None or not live.outgoing.acknowledged(no):
            return
        del self._open[command]
        try:
            await self._journal.finish(live.entry, self._clock.wall_ms())
        except JournalFailed as error:  # the next start tells the centre once more
            logger.warning("a finished command stays in the journal", command_id=command, error=str(error))

    async def unacceptable(self, command: str, no: int, why: str) -> None:
        live = self._open.get(command)
        if live is None:
            return
        logger.warning("the centre does not take a report", command_id=command, error=why)
        if live.outgoing.strip(no):
            live.unwritten = True
        else:
            # It stays in the journal: whatever the centre offers of it later does not run again.
            await self.acknowledged(command, no)

    async def forget(self, command: str) -> None:
        live = self._open.pop(command, None)
        if live is None:
            return
        logger.warning("the centre does not know a command any more", command_id=command)
        live.cancel.set()
        try:
            await self._journal.forget(command)
        except JournalFailed as error:
            logger.warning("a command stays in the journal", command_id=command, error=str(error))

    def status(self) -> list[CommandStatus]:
        """The commands that wait or run here."""
        return [
            CommandStatus(
                id=live.entry.id,
                type=live.entry.offer.type,
                state="waiting" if live.entry.state is CommandState.DELIVERED else live.entry.state.value,
                by=live.entry.offer.by,
                since=live.entry.started_ms or None,
                step=live.step,
                steps=live.steps,
                text=live.text,
            )
            for live in self._open.values()
            if not live.entry.is_final
        ]

    async def _put(self, *entries: Entry) -> None:
        """Raises JournalFailed."""
        if not entries:
            return
        try:
            await self._journal.put(entries)
        except JournalDamaged:
            known = {live.entry.id: live.entry for live in self._open.values()}
            await self._journal.replace({**known, **{entry.id: entry for entry in entries}}.values())
