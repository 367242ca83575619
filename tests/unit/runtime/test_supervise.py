import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from edge_agent.contracts.errors import InvariantBroken, NotConnected, StorageFailed
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.runtime.progress import Progress, Pulse
from edge_agent.runtime.supervise import Components, Role, describe, supervise


class Part:
    """A part that does, run for run, what the script says: an error to raise, or seconds to run for."""

    def __init__(self, clock: ManualClock, *script: Exception | float) -> None:
        self._clock = clock
        self._script = list(script)
        self.starts: list[float] = []

    async def run(self) -> None:
        self.starts.append(self._clock.monotonic() - 1_000)
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        await self._clock.sleep(step)
        if self._script:
            raise OSError("ended by its script")


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Components()
        self.backoff = Backoff(1, 8, jitter=0)
        self.slow = Backoff(300, 300, jitter=0)

    def start(
        self, factory: Callable[[], Awaitable[None]], *, essential: bool = False, pulse: Pulse | None = None
    ) -> asyncio.Task[None]:
        return asyncio.create_task(
            supervise(
                "poller",
                factory,
                clock=self.clock,
                backoff=self.backoff,
                registry=self.registry,
                role=Role("agent/connections", essential, pulse),
                healthy_seconds=60,
                max_failures=3,
                slow=self.slow,
            )
        )

    def state(self) -> tuple[str, int, str]:
        (report,) = self.registry.reports()
        return report.state, report.restarts, report.error


@pytest.fixture
def house() -> House:
    return House()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_failed_part_runs_again_after_a_growing_delay(house: House) -> None:
    part = Part(house.clock, OSError("one"), OSError("two"), 1_000.0)
    task = house.start(part.run)
    await house.clock.advance(0)
    assert house.state() == ("waiting", 0, "one")
    await house.clock.advance(3)
    assert part.starts == [0, 1, 3]
    assert house.state() == ("running", 2, "two")
    await _end(task)


async def test_a_healthy_period_ends_the_outage(house: House) -> None:
    part = Part(house.clock, OSError("a"), OSError("b"), 100.0, 1_000.0)
    task = house.start(part.run)
    with structlog.testing.capture_logs() as lines:
        await house.clock.advance(3 + 60)
        assert house.state() == ("running", 2, "")
        await house.clock.advance(40)
        assert house.state() == ("waiting", 2, "ended by its script")
        await house.clock.advance(1)
    assert part.starts == [0, 1, 3, 104], "after a healthy period the back-off begins anew"
    assert [line["event"] for line in lines] == [
        "component failed and will run again",
        "component is back",
        "component failed and will run again",
    ]
    await _end(task)


async def test_a_part_that_returns_is_stopped_without_an_error(house: House) -> None:
    task = house.start(Part(house.clock, OSError("once"), 5.0).run)
    await house.clock.advance(10)
    assert task.done()
    assert house.state() == ("stopped", 1, "")


async def test_an_essential_part_gives_up_and_ends_its_group(house: House) -> None:
    error = OSError("disk is gone")
    task = house.start(Part(house.clock, error, error, error).run, essential=True)
    await house.clock.advance(100)
    with pytest.raises(EssentialFailed, match="poller: disk is gone"):
        await task
    assert house.state() == ("stopped", 2, "disk is gone")


async def test_a_part_that_keeps_failing_is_tried_rarely_and_for_ever(house: House) -> None:
    part = Part(house.clock, *[NotConnected("refused")] * 50)
    task = house.start(part.run)
    with structlog.testing.capture_logs() as lines:
        await house.clock.advance(3)
        assert part.starts == [0, 1, 3]
        assert house.state() == ("broken", 2, "refused")
        await house.clock.advance(10 * 300)
    assert part.starts == [0, 1, 3, *range(303, 3004, 300)]
    assert [line["event"] for line in lines] == [
        "component failed and will run again",
        "component keeps failing and is tried rarely",
    ], "an outage is one line, and one more where its pace changes"
    assert lines[0]["exc_info"] is None, "a lost link needs no trace"
    await _end(task)


async def test_a_part_that_was_tried_rarely_comes_back(house: House) -> None:
    part = Part(house.clock, OSError(), OSError(), OSError(), 100.0, 1_000.0)
    task = house.start(part.run)
    await house.clock.advance(3 + 300)
    assert house.state()[0] == "running"
    await house.clock.advance(100)
    assert house.state()[0] == "waiting", "its breaker closed after a healthy period"
    await house.clock.advance(1)
    assert part.starts == [0, 1, 3, 303, 404]
    await _end(task)


async def test_a_disk_that_fails_is_no_reason_to_give_up(house: House) -> None:
    part = Part(house.clock, *[StorageFailed("no space")] * 50)
    task = house.start(part.run, essential=True)
    with structlog.testing.capture_logs() as lines:
        await house.clock.advance(100)
    assert house.state()[0] == "waiting"
    assert part.starts == [0, 1, 3, 7, *range(15, 101, 8)]
    assert len(lines) == 1
    await _end(task)


async def test_a_report_says_where_a_part_is_and_when_it_runs_again(house: House) -> None:
    task = house.start(Part(house.clock, OSError("one"), 1_000.0).run, essential=True)
    began = house.clock.wall_ms()
    await house.clock.advance(0)
    (report,) = house.registry.reports()
    assert (report.parent, report.essential, report.failures) == ("agent/connections", True, 1)
    assert (report.since, report.next_try) == (began, began + 1_000)
    await house.clock.advance(1)
    (report,) = house.registry.reports()
    assert (report.state, report.since, report.next_try) == ("running", began + 1_000, None)
    await _end(task)


async def test_a_part_that_waits_to_run_again_is_not_taken_for_stalled(house: House) -> None:
    pulse, progress = Pulse(), Progress(turn_seconds=10)
    progress.watch("poller", pulse, 30)
    task = house.start(Part(house.clock, OSError(), OSError(), OSError(), 1_000.0).run, pulse=pulse)

    async def stalls(seconds: int) -> int:
        found = 0
        for _ in range(seconds // 10):
            await house.clock.advance(10)
            found += len(progress.stalled(house.clock.monotonic()))
        return found

    assert await stalls(300) == 0
    assert house.state()[0] == "broken"
    assert await stalls(100) > 0, "it runs again, and its loop does not turn"
    await _end(task)


@pytest.mark.parametrize(
    "error",
    [
        InvariantBroken("7 + 1 = 9"),
        ExceptionGroup("inner", [ExceptionGroup("", [InvariantBroken("7 + 1 = 9")]), OSError()]),
    ],
    ids=["plain", "in a group"],
)
async def test_a_broken_invariant_ends_the_process_at_once(house: House, error: Exception) -> None:
    task = house.start(Part(house.clock, error).run)
    await house.clock.advance(0)
    with pytest.raises(EssentialFailed, match=r"poller: 7 \+ 1 = 9"):
        await task
    assert house.state()[0] == "stopped"


async def test_cancelling_passes_through_a_run(house: House) -> None:
    task = house.start(Part(house.clock, 1_000.0).run)
    await house.clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.registry.reports() == []
    assert house.clock.sleepers == 0


async def test_cancelling_passes_through_a_delay(house: House) -> None:
    task = house.start(Part(house.clock, OSError()).run)
    await house.clock.advance(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.registry.reports() == []


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(house: House) -> None:
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise asyncio.CancelledError
        await house.clock.sleep(1_000)

    task = house.start(run)
    await house.clock.advance(2)
    assert starts == 2
    assert house.state()[:2] == ("running", 1)
    assert "nobody asked" in house.state()[2]
    await _end(task)


async def test_a_newer_part_keeps_its_place_when_the_older_ends(house: House) -> None:
    old = house.start(Part(house.clock, 1_000.0).run)
    await house.clock.advance(0)
    new = house.start(Part(house.clock, 1_000.0).run)
    await house.clock.advance(0)
    await _end(old)
    assert house.state() == ("running", 0, "")
    await _end(new)
    assert house.registry.reports() == []


def test_an_error_is_described_in_one_line() -> None:
    assert describe(OSError("one\n  two")) == "one two"
    assert describe(KeyError()) == "KeyError"
    assert describe(ExceptionGroup("many", [OSError("first"), OSError("second")])) == "first"
