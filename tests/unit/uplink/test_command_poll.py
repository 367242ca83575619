"""Fetching commands and reporting of them: prompt where the centre is well, rare where it refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import orjson
import pytest

from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.commands import (
    LEAST_WAIT_SECONDS,
    LOOK_SECONDS,
    RARE_SECONDS,
    WAIT_SECONDS,
    CommandPoll,
    CommandReports,
    Mode,
    send_artifact,
)
from edge_agent.uplink.errors import Invalid, Refused, RetryAfter, Unreachable, Unusable, UplinkFault
from edge_agent.uplink.transport import Reply
from edge_agent.wire.commands import CommandOffers, CommandReport, CommandState

EMPTY = b'{"commands":[],"cancel":[]}'
ONE = orjson.dumps(
    {"commands": [{"id": "c1", "type": "ping", "created": 1, "start_seconds": 9, "timeout_seconds": 9}]}
)


class Centre:
    """Answers what the test says; holds empty answers back as long as it is asked to."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[float, str, str, float]] = []
        self.answers: list[bytes | UplinkFault | Reply] = []
        self.failing = "nothing"
        self.patience = 1e9
        self.cut = 0

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str | None,
        if_none_match: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Reply:
        self.asked.append((self.clock.monotonic(), method, path, wait_seconds))
        answer = self.answers.pop(0) if self.answers else EMPTY
        if f"/{self.failing}/" in path:
            raise Unusable("500: the centre's own fault")
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, UplinkFault):
            raise answer
        if answer == EMPTY and wait_seconds:
            patience = self.patience
            await self.clock.sleep(min(wait_seconds, patience))
            if patience < wait_seconds:
                self.cut += 1
                raise Unusable("504: a proxy's patience")
        return Reply(204 if method == "POST" else 200, answer, None, None, "")


class Desk:
    """Takes everything once. to_say: reports that are due, by command."""

    def __init__(self) -> None:
        self.busy = False
        self.taken: list[str] = []
        self.failing = False
        self.to_say: dict[str, list[CommandReport]] = {}
        self.gone: list[tuple[str, str]] = []
        self.news = asyncio.Event()

    async def take(self, offers: CommandOffers) -> bool:
        if self.failing:
            raise StorageFailed("no disk")
        new = [each.id for each in offers.commands if each.id not in self.taken]
        self.taken += new
        return bool(new)

    async def wait(self) -> list[str]:
        while not any(self.to_say.values()):
            self.news.clear()
            await self.news.wait()
        return [command for command, reports in self.to_say.items() if reports]

    async def report(self, command: str) -> CommandReport | None:
        waiting = self.to_say.get(command)
        return waiting[0] if waiting else None

    async def acknowledged(self, command: str, no: int) -> None:
        assert self.to_say[command].pop(0).no == no

    async def unacceptable(self, command: str, no: int, why: str) -> None:
        self.gone.append((command, "unacceptable"))
        self.to_say[command].pop(0)

    async def forget(self, command: str) -> None:
        self.gone.append((command, "forgotten"))
        del self.to_say[command]


class House:
    def __init__(self, mode: Mode = "long") -> None:
        self.clock = ManualClock()
        self.centre = Centre(self.clock)
        self.desk = Desk()
        self.poll = CommandPoll(self.centre, self.desk, self.clock, mode, Random(1))
        self.reports = CommandReports(self.centre, self.desk, self.clock, Random(1))

    async def during(self, run: Callable[[], Awaitable[None]], seconds: float) -> list[float]:
        """Runs it for so long; when it asked, from its start on."""
        began, seen = self.clock.monotonic(), len(self.centre.asked)
        task = asyncio.ensure_future(run())
        await self.clock.advance(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [round(at - began, 3) for at, *_ in self.centre.asked[seen:]]


def report(no: int = 1) -> CommandReport:
    return CommandReport(no=no, state=CommandState.SUCCEEDED, time=1)


async def test_the_poll_is_held_and_begins_again_at_once() -> None:
    house = House()
    assert await house.during(house.poll.run, 3 * WAIT_SECONDS - 1) == [0.0, 50.0, 100.0]
    assert {asked[2:] for asked in house.centre.asked} == {("/commands?wait=50", WAIT_SECONDS)}


async def test_a_command_is_taken_and_offers_of_the_same_make_no_storm() -> None:
    house = House()
    house.centre.answers = [ONE] * 100
    asked = await house.during(house.poll.run, 60.0)
    assert house.desk.taken == ["c1"]
    assert asked[1] == 0.2
    assert len(asked) <= 15


async def test_a_centre_that_does_not_hold_answers_back_is_not_stormed() -> None:
    house = House()
    house.centre.patience = 0.0
    house.centre.answers = [b'{"cancel":[],"commands":[]}'] * 1_000
    assert len(await house.during(house.poll.run, 300.0)) <= 20


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_centre_that_refuses_is_left_in_peace_until_it_says_that_something_waits(status: int) -> None:
    house = House()
    house.centre.answers = [Refused("no", status)] * 100
    assert len(await house.during(house.poll.run, 3_600.0)) <= 3_600 / (0.8 * RARE_SECONDS) + 1
    house.centre.answers = [Refused("no", status), ONE]
    task = asyncio.ensure_future(house.poll.run())
    await house.clock.advance(5.0)
    house.poll.hint(0)
    await house.clock.advance(5.0)
    assert house.desk.taken == []
    house.poll.hint(1)
    await house.clock.advance(0.0)
    assert house.desk.taken == ["c1"]
    assert house.centre.asked[-1][3] == 0.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_hints_make_no_storm_either() -> None:
    house = House()
    house.centre.answers = [Unreachable("away")] * 1_000
    task = asyncio.ensure_future(house.poll.run())
    for _ in range(600):
        house.poll.hint(1)
        await house.clock.advance(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(house.centre.asked) <= 61


async def test_a_proxy_with_less_patience_gets_shorter_polls_and_a_restarted_centre_does_not() -> None:
    house = House()
    house.centre.patience = 30.0
    await house.during(house.poll.run, 600.0)
    waits = [asked[3] for asked in house.centre.asked]
    assert waits[:3] == [WAIT_SECONDS] * 3
    assert all(LEAST_WAIT_SECONDS <= wait < 30.0 for wait in waits[3:])
    house = House()
    for _ in range(5):
        task = asyncio.ensure_future(house.poll.run())
        await house.clock.advance(1.0)
        house.centre.patience = 30.0
        await house.clock.advance(WAIT_SECONDS)
        house.centre.patience = 1e9
        await house.clock.advance(2 * WAIT_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {asked[3] for asked in house.centre.asked} == {WAIT_SECONDS}
    assert house.centre.cut >= 5


async def test_the_pause_that_the_centre_asks_for_is_kept() -> None:
    house = House()
    house.centre.answers = [RetryAfter("full", 120.0)]
    asked = await house.during(house.poll.run, 150.0)
    assert asked[1] >= 120.0


async def test_without_a_held_poll_hints_bring_commands_and_a_look_now_and_then() -> None:
    house = House("heartbeat")
    asked = await house.during(house.poll.run, 3_600.0)
    assert 6 <= len(asked) <= 3_600 / (0.8 * LOOK_SECONDS) + 1
    assert {asked[3] for asked in house.centre.asked} == {0.0}
    house.desk.busy = True
    assert len(await house.during(house.poll.run, 120.0)) >= 8  # whether something is to be stopped


async def test_what_cannot_be_journalled_is_left_at_the_centre_and_asked_for_again() -> None:
    house = House()
    house.desk.failing = True
    house.centre.answers = [ONE] * 50
    task = asyncio.ensure_future(house.poll.run())
    await house.clock.advance(600.0)
    assert house.desk.taken == []
    assert len(house.centre.asked) < 20
    house.desk.failing = False
    await house.clock.advance(120.0)
    assert house.desk.taken == ["c1"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# --- reports --------------------------------------------------------------------------------------


async def test_a_report_is_repeated_until_it_is_taken() -> None:
    house = House()
    house.desk.to_say = {"c 1": [report(1), report(2)]}
    house.centre.answers = [Unreachable("away"), Unusable("500"), RetryAfter("full", 5.0)]
    asked = await house.during(house.reports.run, 60.0)
    assert len(asked) == 5
    assert house.desk.to_say == {"c 1": []}
    assert {asked[1:3] for asked in house.centre.asked} == {("POST", "/commands/c%201/report")}
    assert asked[3] - asked[2] >= 5.0


@pytest.mark.parametrize(
    ("fault", "gone"),
    [(Refused("unknown", 404, "unknown_command"), "forgotten"), (Invalid("400: odd"), "unacceptable")],
)
async def test_what_the_centre_will_never_take_is_not_repeated(fault: UplinkFault, gone: str) -> None:
    house = House()
    house.desk.to_say = {"c1": [report()], "c2": [report()]}
    house.centre.answers = [fault]
    await house.during(house.reports.run, 10.0)
    assert house.desk.gone == [("c1", gone)]
    assert house.desk.to_say["c2"] == []


@pytest.mark.parametrize("answer", [Refused("404 page not found", 404), Reply(200, b"<", None, None, "")])
async def test_what_a_proxy_answers_makes_no_report_forgotten(answer: UplinkFault | Reply) -> None:
    house = House()
    house.desk.to_say = {"c1": [report()]}
    house.centre.answers = [answer] * 3
    asked = await house.during(house.reports.run, 30.0)
    assert (len(asked), house.desk.gone, house.desk.to_say) == (4, [], {"c1": []})


async def test_a_report_that_fails_again_and_again_holds_up_no_other() -> None:
    house = House()
    house.desk.to_say = {"c1": [report()], "c2": [report()], "c3": [report()]}
    house.centre.failing = "c1"
    await house.during(house.reports.run, 10.0)
    assert house.desk.to_say == {"c1": [report()], "c2": [], "c3": []}


async def test_a_file_is_sent_until_the_centre_has_it() -> None:
    house = House()
    portal = Reply(200, b"<html>", None, None, "")
    stored = Reply(201, b'{"size_bytes":1,"sha256":"2d71"}', None, None, "")
    house.centre.answers = [Unreachable("away"), RetryAfter("full", 3.0), portal, stored]
    task = asyncio.ensure_future(send_artifact(house.centre, house.clock, "c1", "a b.txt", b"x", "2d71"))
    await house.clock.advance(60.0)
    await task
    assert [asked[1:3] for asked in house.centre.asked] == [
        ("PUT", "/commands/c1/artifact?name=a%20b.txt")
    ] * 4
    house.centre.answers = [Refused("unknown", 404)]
    with pytest.raises(Refused):
        await send_artifact(house.centre, house.clock, "c1", "a", b"x", "2d71")
