"""Units are asked who they are in pauses, once, and whatever they do harms nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.pipeline.introduction import Introduction
from edge_agent.pipeline.unit import Unit

ACME = Identity("ACME", "P-7", "2.10")


class Talker:
    """A driver that answers as `answer` does."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.answer: Callable[[], Awaitable[Identity | None]] = self.say

    async def connect(self) -> None: ...

    async def read(self, plan: Any) -> Reading:
        raise AssertionError("nobody reads here")

    async def close(self) -> None: ...

    async def identify(self, unit_id: int | None) -> Identity | None:
        self.asked.append(unit_id)
        return await self.answer()

    async def say(self) -> Identity | None:
        return ACME

    async def refuse(self) -> Identity | None:
        return None

    async def hang(self) -> Identity | None:
        await asyncio.Event().wait()
        raise AssertionError("nobody ends this wait")

    async def hang_up(self) -> Identity | None:
        raise NotConnected("the peer closed the connection")


def polled(unit_id: int) -> Unit:
    unit = Unit(unit_id, groups=1)
    unit.answered("g", None, anything=True)
    return unit


async def test_each_unit_is_asked_once_a_link_and_one_in_a_pause() -> None:
    talker, units = Talker(), [polled(1), polled(7)]
    made = Introduction(talker, units)
    await made.use_pause(1.0)
    assert talker.asked == []  # there is no link yet
    made.begin()
    await made.use_pause(1.0)
    assert talker.asked == [1]
    for _ in range(5):
        await made.use_pause(1.0)
    assert talker.asked == [1, 7]
    assert [unit.report().vendor for unit in units] == ["ACME", "ACME"]
    assert (units[0].report().product, units[0].report().revision) == ("P-7", "2.10")
    made.begin()
    await made.use_pause(1.0)
    assert talker.asked == [1, 7, 1]


async def test_a_short_pause_is_left_alone() -> None:
    talker = Talker()
    made = Introduction(talker, [polled(1)])
    made.begin()
    await made.use_pause(0.69)
    await made.use_pause(-3.0)
    assert talker.asked == []


async def test_a_unit_that_has_not_answered_a_poll_is_not_asked() -> None:
    talker, silent, unread = Talker(), polled(1), Unit(2, groups=1)
    for _ in range(3):
        silent.failed(0.0, "no answer")
    made = Introduction(talker, [silent, unread, polled(7)])
    made.begin()
    for _ in range(3):
        await made.use_pause(1.0)
    assert talker.asked == [7]


async def test_who_does_not_answer_is_asked_twice_in_all_and_not_blamed() -> None:
    for mood in ("refuse", "hang", "hang_up"):
        talker, unit = Talker(), polled(1)
        talker.answer = getattr(talker, mood)
        before = unit.report()
        made = Introduction(talker, [unit])
        for _ in range(5):
            made.begin()
            async with asyncio.timeout(5):
                await made.use_pause(0.7)
                await made.use_pause(0.7)
        assert talker.asked == [1, 1]
        assert unit.report() == before
