import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.uplink.beat import SLOWEST_SECONDS, DocumentPoll, Heartbeats
from edge_agent.uplink.client import NewDocument
from edge_agent.uplink.errors import Refused, RetryAfter, UplinkFault
from edge_agent.wire.messages import Heartbeat, HeartbeatAnswer, Resend


@asynccontextmanager
async def running(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(loop)
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class BeatBench:
    def __init__(self, interval: float = 30.0) -> None:
        self.clock = ManualClock()
        self.sent: list[float] = []
        self.fault: UplinkFault | None = None
        self.answer: dict[str, Any] = {}
        self.hints: list[str | None] = []
        self.script_hints: list[str | None] = []
        self.paces: list[float | None] = []
        self.missing: list[Resend] = []
        self.beats = Heartbeats(
            self, self.build, interval, self.clock, self.hints.append, self.paces.append, self.resend,
            on_scripts_hint=self.script_hints.append,
        )  # fmt: skip

    async def resend(self, missing: Resend) -> None:
        self.missing.append(missing)

    def build(self) -> Heartbeat:
        return Heartbeat(
            now=self.clock.wall_ms(),
            version="1",
            protocol=1,
            run="r",
            boot="b",
            machine="m",
            uptime_seconds=0,
        )

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        assert heartbeat.now == self.clock.wall_ms()
        self.sent.append(self.clock.monotonic() - 1000)
        if self.fault is not None:
            raise self.fault
        return HeartbeatAnswer.model_validate({"centre": "c", "now": 0, **self.answer})

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.sent)]


async def test_a_heartbeat_at_the_start_and_then_each_interval_less_a_little_jitter() -> None:
    bench = BeatBench()
    async with running(bench.beats.run()):
        await bench.clock.advance(3000)
    assert bench.sent[0] == 0
    assert all(27 <= gap <= 30 for gap in bench.gaps)
    assert len({round(gap, 3) for gap in bench.gaps}) > 50
    assert bench.beats.answered


async def test_a_burst_of_changes_makes_one_early_heartbeat_and_what_follows_it_another() -> None:
    bench = BeatBench()
    async with running(bench.beats.run()):
        await bench.clock.advance(10)
        for _ in range(20):
            bench.beats.soon()
        await bench.clock.advance(0.5)
        bench.beats.soon()
        await bench.clock.advance(5)
    assert bench.sent == [0, 10, 11]


async def test_changes_all_the_time_make_no_more_than_a_heartbeat_a_second() -> None:
    bench = BeatBench()
    async with running(bench.beats.run()):
        for _ in range(1000):
            bench.beats.soon()
            await bench.clock.advance(0.01)
    assert len(bench.sent) <= 11


async def test_heartbeats_go_on_through_failures_and_say_so() -> None:
    bench = BeatBench()
    bench.fault = Refused("401", 401)
    async with running(bench.beats.run()):
        await bench.clock.advance(100)
        answered = [bench.beats.answered]
        bench.fault = None
        await bench.clock.advance(31)
        answered.append(bench.beats.answered)
    assert answered == [False, True]
    assert all(gap <= 30 for gap in bench.gaps)


async def test_a_pause_that_the_centre_asks_for_is_kept_to_whatever_changes() -> None:
    bench = BeatBench()
    bench.fault = RetryAfter("503", 300.0)
    async with running(bench.beats.run()):
        await bench.clock.advance(100)
        bench.beats.soon()
        await bench.clock.advance(199)
        assert bench.sent == [0]
        await bench.clock.advance(1.1)
        assert len(bench.sent) == 2


@pytest.mark.parametrize(("asked", "taken"), [(5.0, 5.0), (0.001, 1.0), (1e300, SLOWEST_SECONDS), (-3, 1.0)])
async def test_the_centre_sets_the_interval_within_bounds(asked: float, taken: float) -> None:
    bench = BeatBench()
    bench.answer = {"heartbeat_interval": asked}
    async with running(bench.beats.run()):
        await bench.clock.advance(10 * taken)
    assert all(0.9 * taken <= gap <= taken + 0.01 for gap in bench.gaps)
    assert len(bench.gaps) >= 9


async def test_hints_and_the_pace_of_uploads_are_passed_on() -> None:
    bench = BeatBench()
    bench.answer = {"config_etag": "abc", "scripts_etag": "def", "send_interval": 15.0}
    async with running(bench.beats.run()):
        await bench.clock.advance(1)
    assert (bench.hints, bench.script_hints, bench.paces) == (["abc"], ["def"], [15.0])


async def test_what_the_centre_lacks_of_any_epoch_is_passed_on() -> None:
    bench = BeatBench()
    bench.answer = {"resend": [{"epoch": "e1", "seqs": [[1, 4]]}, {"epoch": "e2", "seqs": [[7, 7]]}]}
    async with running(bench.beats.run()):
        await bench.clock.advance(0.5)
    assert [(missing.epoch, missing.seqs) for missing in bench.missing] == [
        ("e1", [(1, 4)]),
        ("e2", [(7, 7)]),
    ]


async def test_the_clocks_offset_is_measured_against_the_middle_of_the_exchange() -> None:
    bench = BeatBench()
    bench.answer = {"now": bench.clock.wall_ms() - 90_000}
    async with running(bench.beats.run()):
        await bench.clock.advance(1)
    assert bench.beats.offset_ms == 90_000


# --- config ----------------------------------------------------------------------------------------


class PollBench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asked: list[float] = []
        self.fault: UplinkFault | None = None
        self.etag = "v1"
        self.known: str | None = None
        self.taken: list[int] = []
        self.keeps = True
        self.poll = DocumentPoll("config", self.config, lambda: self.known, self.take, 60.0, self.clock)

    async def config(self, etag: str | None) -> NewDocument | None:
        self.asked.append(self.clock.monotonic() - 1000)
        if self.fault is not None:
            raise self.fault
        if etag == self.etag:
            return None
        return NewDocument(str(len(self.asked)).encode(), self.etag)

    async def take(self, found: NewDocument) -> None:
        self.taken.append(int(found.body))
        if self.keeps:
            self.known = found.etag


async def test_the_config_is_asked_for_at_the_start_and_each_interval() -> None:
    bench = PollBench()
    async with running(bench.poll.run()):
        await bench.clock.advance(600)
    assert bench.asked[0] == 0
    assert all(54 <= later - earlier <= 60 for earlier, later in pairwise(bench.asked))
    assert bench.taken == [1]


async def test_what_is_not_wanted_is_not_asked_for_whatever_the_hints_say_until_it_is() -> None:
    bench = PollBench()
    wanted = False
    poll = DocumentPoll(
        "scripts", bench.config, lambda: bench.known, bench.take, 60.0, bench.clock, lambda: wanted
    )
    async with running(poll.run()):
        poll.hint("v9")
        await bench.clock.advance(300)
        assert bench.asked == []
        wanted = True
        poll.soon()
        await bench.clock.advance(1.1)
    assert len(bench.asked) == 1


async def test_a_hint_at_a_new_config_is_followed_within_a_second() -> None:
    bench = PollBench()
    async with running(bench.poll.run()):
        await bench.clock.advance(5)
        bench.etag = "v2"
        bench.poll.hint("v2")
        await bench.clock.advance(1)
        assert bench.taken == [1, 2]


async def test_a_hint_at_the_known_config_is_none_with_quotes_or_without() -> None:
    """Hints carry the bare tag, the config's answer a quoted one: taken for different they make a storm."""
    bench = PollBench()
    bench.known, bench.etag = '"v1"', '"v1"'
    async with running(bench.poll.run()):
        for _ in range(50):
            for hint in ("v1", '"v1"', 'W/"v1"', None):
                bench.poll.hint(hint)
            await bench.clock.advance(1)
    assert len(bench.asked) == 1


async def test_a_hint_that_leads_nowhere_is_followed_once_and_not_with_every_upload() -> None:
    """The config behind it was refused, and so it is never the one that is known."""
    bench = PollBench()
    bench.keeps = False
    async with running(bench.poll.run()):
        for _ in range(500):
            bench.poll.hint("v1")
            await bench.clock.advance(1)
    assert len(bench.asked) <= 11


async def test_a_hint_that_could_not_be_followed_is_followed_when_it_comes_again() -> None:
    bench = PollBench()
    async with running(bench.poll.run()):
        await bench.clock.advance(5)
        bench.etag, bench.fault = "v2", Refused("403", 403)
        bench.poll.hint("v2")
        await bench.clock.advance(2)
        bench.fault = None
        bench.poll.hint("v2")
        await bench.clock.advance(2)
        assert bench.taken == [1, 3]


async def test_a_config_that_cannot_be_asked_for_is_no_storm() -> None:
    bench = PollBench()
    bench.fault = Refused("401", 401)
    async with running(bench.poll.run()):
        for _ in range(600):
            bench.poll.hint("v1")
            await bench.clock.advance(1)
    assert len(bench.asked) <= 20


async def test_a_centre_with_something_new_all_the_time_is_asked_less_and_less_often() -> None:
    """Each is tried and kept on disk."""
    bench = PollBench()
    async with running(bench.poll.run()):
        for second in range(600):
            bench.etag = f"v{second}"
            bench.poll.hint(bench.etag)
            await bench.clock.advance(1)
        assert 10 < len(bench.taken) < 30
        await bench.clock.advance(130)
        bench.etag = "last"
        bench.poll.hint("last")
        await bench.clock.advance(1)
        assert bench.known == "last", "once it had nothing new it is asked at once again"
