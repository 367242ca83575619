import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from edge_agent.contracts.errors import InvariantBroken, NotConnected
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.runtime.supervise import Components, describe, supervise


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

    def start(self, factory: Callable[[], Awaitable[None]], *, essential: bool = False) -> asyncio.Task[None]:
        return asyncio.create_task(
            supervise(
                "poller",
                factory,
                clock=self.clock,
                backoff=self.backoff,
                registry=self.registry,
                essential=essential,
                healthy_seconds=60,
                max_failures=3,
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
    part = Part(house.clock, OSError("one"), OSError("two"), OSError("three"), 1_000.0)
    task = house.start(part.run)
    await house.clock.advance(0)
    assert house.state() == ("waiting", 0, "one")
    await house.clock.advance(7)
    assert part.starts == [0, 1, 3, 7]
    assert house.state() == ("running", 3, "three")
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
    with pytest.raises(OSError, match="disk is gone"):
        await task
    assert house.state() == ("stopped", 2, "disk is gone")


async def test_other_parts_never_give_up(house: House) -> None:
    part = Part(house.clock, *[NotConnected("refused")] * 50)
    task = house.start(part.run)
    with structlog.testing.capture_logs() as lines:
        await house.clock.advance(200)
    assert len(part.starts) > 20
    assert len(lines) == 1, "an outage is one line"
    assert lines[0]["exc_info"] is None, "a lost link needs no trace"
    await _end(task)


@pytest.mark.parametrize(
    "error",
    [
        InvariantBroken("7 + 1 = 9"),
        ExceptionGroup("inner", [OSError(), ExceptionGroup("", [InvariantBroken("7 + 1 = 9")])]),
    ],
    ids=["plain", "in a group"],
)
async def test_a_broken_invariant_ends_the_process_at_once(house: House, error: Exception) -> None:
    task = house.start(Part(house.clock, error).run)
    await house.clock.advance(0)
    with pytest.raises((InvariantBroken, ExceptionGroup)):
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
