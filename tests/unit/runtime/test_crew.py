import asyncio

from edge_agent.contracts.errors import InvariantBroken
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.runtime.progress import Progress, Pulse
from edge_agent.runtime.supervise import Components, Role


async def _broken() -> None:
    raise InvariantBroken("7 + 1 = 9")


async def test_a_part_that_gives_up_is_told_of_and_leaves_the_others_running() -> None:
    clock, failures = ManualClock(), list[EssentialFailed]()
    async with asyncio.TaskGroup() as root:
        crew = Crew(root, clock, Components(), Progress(10), failures.append)
        other = crew.start("connection a", lambda: clock.sleep(1_000))
        crew.start("connection b", _broken)
        await clock.advance(1)
        assert [failure.part for failure in failures] == ["connection b"]
        assert not other.done()
        await crew.end()
    assert other.cancelled()


async def test_parts_end_by_name_and_then_all() -> None:
    clock, components = ManualClock(), Components()
    async with asyncio.TaskGroup() as root:
        crew = Crew(root, clock, components, Progress(10), lambda _: None)
        for name in ("config", "writer", "page"):
            crew.start(name, lambda: clock.sleep(1_000))
        await clock.advance(0)
        await crew.end(("config", "reload"))
        assert [report.name for report in components.reports()] == ["writer", "page"]
        await crew.end()
        assert components.reports() == []


async def test_a_part_is_watched_for_as_long_as_it_runs() -> None:
    clock, progress = ManualClock(), Progress(10)
    async with asyncio.TaskGroup() as root:
        crew = Crew(root, clock, Components(), progress, lambda _: None)
        task = crew.start("writer", lambda: clock.sleep(1_000), Role(pulse=Pulse(), quiet_seconds=15))
        stalls = []
        for _ in range(4):
            await clock.advance(10)
            stalls.append(len(progress.stalled(clock.monotonic())))
        assert stalls == [0, 0, 1, 1]
        task.cancel()
        await clock.advance(10)
        assert progress.stalled(clock.monotonic()) == []
