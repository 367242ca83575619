"""A desk with its journal on a real disk, a clock that stands still, and commands of the tests' own."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from edge_agent.commands.context import Context, Device
from edge_agent.commands.desk import Desk
from edge_agent.commands.entry import Moment, Outcome
from edge_agent.commands.errors import Failed, Refused
from edge_agent.commands.journal import NAME, Journal
from edge_agent.commands.registry import Registry
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.command_types import CommandType, NoParams, Params
from edge_agent.wire.commands import FINAL, CommandOffer, CommandOffers, CommandReport
from edge_agent.wire.messages import Message


class Said(Message):
    text: str = "done"


class ChoiceParams(Params):
    number: int = 0


TYPES = {
    each.name: each
    for each in (
        CommandType("quick", NoParams, Said, 10.0),
        CommandType("choice", ChoiceParams, Said, 10.0),
        CommandType("once", NoParams, Said, 10.0, idempotent=False),
        CommandType("hang", NoParams, Said, 10.0),
        CommandType("hang_hard", NoParams, Said, 10.0),
        CommandType("talk", NoParams, Said, 10.0),
        CommandType("fail", NoParams, Said, 10.0),
        CommandType("break", NoParams, Said, 10.0),
        CommandType("restart_agent", NoParams, Said, 10.0, idempotent=False),
        CommandType("no_handler", NoParams, Said, 10.0),
        CommandType("refuse", NoParams, Said, 10.0),
    )
}


class FakeDevice:
    """What the desk itself asks a device for."""

    version = "1.2.3"

    def __init__(self, run: str) -> None:
        self.run = run


class House:
    """One life of an agent's commands. begun: ids of what ran, in order. ends: as the desk told them."""

    def __init__(self, directory: Path, run: str = "run-1", boot: str = "boot-1", **settings: Any) -> None:
        self.clock = settings.pop("clock", None) or ManualClock()
        self.begun: list[str] = []
        self.ends: list[tuple[str, str]] = []
        self.let_go = asyncio.Event()
        self.path = directory / NAME
        self.journal = Journal(self.path)
        handlers: dict[str, Callable[[Context, Any], Awaitable[Message]]] = {
            "quick": self._quick,
            "choice": self._quick,
            "once": self._quick,
            "hang": self._hang,
            "hang_hard": self._hang_hard,
            "talk": self._talk,
            "fail": self._fail,
            "break": self._break,
            "restart_agent": self._hang,
            "refuse": self._quick,
        }
        registry = Registry(TYPES, handlers, {"refuse": _refuse}, settings.pop("allow", None))
        device = cast("Device", FakeDevice(run))
        self._boot, self._run = boot, run
        self.desk = Desk(
            self.journal, registry, device, self.clock, boot, settings.pop("concurrency", 4), self._ended
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "House":
        self._task = asyncio.create_task(self.desk.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """As a kill, as far as the journal goes: nothing is written any more."""
        assert self._task is not None
        self.let_go.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    def now(self) -> Moment:
        return Moment(self.clock.monotonic(), self.clock.wall_ms(), self._boot, self._run)

    async def take(self, *offers: CommandOffer, cancel: tuple[str, ...] = ()) -> bool:
        return await self.desk.take(CommandOffers(commands=list(offers), cancel=list(cancel)))

    async def told(self) -> list[tuple[str, CommandReport]]:
        """Reports everything that is to be reported, as a centre that always answers would take it."""
        found: list[tuple[str, CommandReport]] = []
        while True:
            waiting = asyncio.ensure_future(self.desk.wait())
            done, _ = await asyncio.wait([waiting], timeout=0.05)
            if not done:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                return found
            for command in waiting.result():
                report = await self.desk.report(command)
                if report is not None:
                    found.append((command, report))
                    await self.desk.acknowledged(command, report.no)

    async def until_ended(self, *ids: str) -> dict[str, CommandReport]:
        """The final reports of these, once the centre has them."""
        final: dict[str, CommandReport] = {}
        async with asyncio.timeout(10):
            while set(ids) - set(final):
                said = await self.told()
                final |= {command: report for command, report in said if report.state in FINAL}
        return final

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    def state(self, command: str) -> str | None:
        return next((each.state for each in self.desk.status() if each.id == command), None)

    # --- handlers --------------------------------------------------------------------------------

    async def _quick(self, context: Context, _: Any) -> Message:
        self.begun.append(context.id)
        return Said()

    async def _hang(self, context: Context, _: Any) -> Message:
        self.begun.append(context.id)
        await asyncio.Event().wait()
        raise AssertionError

    async def _hang_hard(self, context: Context, _: Any) -> Message:
        self.begun.append(context.id)
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        return Said()

    async def _talk(self, context: Context, _: Any) -> Message:
        self.begun.append(context.id)
        for number in range(5):
            context.step(number + 1, 5, f"step {number + 1}")
            context.say("온도 " * 4_000)
        return Said()

    async def _fail(self, context: Context, _: Any) -> Message:
        raise Failed("no_luck", "it did not work")

    async def _break(self, context: Context, _: Any) -> Message:
        raise ZeroDivisionError("of all things")

    def _ended(self, offer: CommandOffer, outcome: Outcome) -> None:
        self.ends.append((offer.id, outcome.state.value))


def _refuse(_: Device, params: Params) -> None:
    raise Refused("not_here", "not on this device")


def offer(
    kind: str, name: str = "", start: float = 600.0, timeout: float = 10.0, **params: Any
) -> CommandOffer:
    return CommandOffer(
        id=name or kind,
        type=kind,
        params=params,
        created=1,
        start_seconds=start,
        timeout_seconds=timeout,
        by="somebody",
    )
