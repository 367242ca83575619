import asyncio

import pytest
import structlog

from edge_agent.contracts.exit_codes import ExitCode
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.runtime.stopping import Ended, Stage, StopSignals, run_stages


class Stop:
    """A stop of three stages; what each does is given in seconds, or as an error."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hurry = asyncio.Event()
        self.began: dict[str, float] = {}
        self._zero = self.clock.monotonic()
        self.release = asyncio.Event()

    def stage(
        self, name: str, does: float | Exception, hurried: float = 0.5, *, stubborn: bool = False
    ) -> Stage:
        async def work() -> None:
            self.began[name] = self.clock.monotonic() - self._zero
            if isinstance(does, Exception):
                raise does
            try:
                await self.clock.sleep(does)
            except asyncio.CancelledError:
                if not stubborn:
                    raise
                await self.release.wait()

        return Stage(name, 5.0, hurried, work)

    async def run(self, *stages: Stage, second_signal_after: float | None = None) -> list[Ended]:
        task = asyncio.ensure_future(run_stages(stages, self.hurry, self.clock))
        if second_signal_after is not None:
            await self.clock.advance(second_signal_after)
            self.hurry.set()
        await self.clock.advance(60)
        assert task.done(), "a stop that does not end"
        return task.result()


@pytest.fixture
def stop() -> Stop:
    return Stop()


async def test_stages_run_in_order_and_the_log_says_how_long_each_took(stop: Stop) -> None:
    with structlog.testing.capture_logs() as lines:
        ended = await stop.run(stop.stage("intake", 1), stop.stage("commit", 2), stop.stage("last upload", 3))
    assert stop.began == {"intake": 0, "commit": 1, "last upload": 3}
    assert [(each.how, each.seconds) for each in ended] == [("done", 1), ("done", 2), ("done", 3)]
    assert lines == [
        {
            "event": "stages of the stop in seconds",
            "log_level": "info",
            "intake": 1.0,
            "commit": 2.0,
            "last_upload": 3.0,
        }
    ]


async def test_a_stage_that_hangs_is_cut_off_by_name_and_the_commit_still_runs(stop: Stop) -> None:
    with structlog.testing.capture_logs() as lines:
        ended = await stop.run(stop.stage("pipeline", 1_000), stop.stage("commit", 1))
    assert [(each.name, each.how, each.is_stuck) for each in ended] == [
        ("pipeline", "cut off", False),
        ("commit", "done", False),
    ]
    assert stop.began["commit"] == 5
    assert lines[0] == {
        "event": "a stage of the stop was cut off",
        "log_level": "error",
        "stage": "pipeline",
        "after_seconds": 5.0,
    }


async def test_a_stage_that_does_not_even_notice_is_left_behind(stop: Stop) -> None:
    ended = await stop.run(stop.stage("pipeline", 1_000, stubborn=True), stop.stage("commit", 1))
    assert [(each.how, each.is_stuck) for each in ended] == [("cut off", True), ("done", False)]
    assert stop.began["commit"] == pytest.approx(5.1)
    stop.release.set()
    await stop.clock.advance(1)


async def test_a_stage_that_fails_is_named_and_the_later_ones_run(stop: Stop) -> None:
    with structlog.testing.capture_logs() as lines:
        ended = await stop.run(stop.stage("commit", OSError("no space")), stop.stage("close", 1))
    assert [each.how for each in ended] == ["failed", "done"]
    assert lines[0]["stage"] == "commit"
    assert lines[0]["error"] == "no space"


async def test_a_second_signal_shortens_the_stage_that_runs_and_all_after_it(stop: Stop) -> None:
    ended = await stop.run(
        stop.stage("pipeline", 1_000), stop.stage("commit", 1_000), second_signal_after=1.0
    )
    assert [each.how for each in ended] == ["cut off", "cut off"]
    assert sum(each.seconds for each in ended) == pytest.approx(1.0 + 0.5 + 0.5)


async def test_a_second_signal_leaves_the_upload_out(stop: Stop) -> None:
    with structlog.testing.capture_logs() as lines:
        ended = await stop.run(
            stop.stage("last upload", 1_000, hurried=0), stop.stage("close", 0.1), second_signal_after=2.0
        )
    assert [(each.how, round(each.seconds, 3)) for each in ended] == [("cut off", 2.0), ("done", 0.1)]
    assert len(lines) == 1, "what somebody asked for is no error"


async def test_a_stage_that_may_be_left_out_does_not_begin_in_a_hurry(stop: Stop) -> None:
    ended = await stop.run(
        stop.stage("pipeline", 2), stop.stage("last upload", 1, hurried=0), second_signal_after=1.8
    )
    assert [each.how for each in ended] == ["done", "left out"]
    assert "last upload" not in stop.began


def test_one_signal_asks_two_hurry_and_three_end_at_once() -> None:
    codes: list[int] = []
    signals = StopSignals(codes.append)
    signals.note()
    assert signals.wanted.is_set()
    assert not signals.hurry.is_set()
    signals.note()
    assert signals.hurry.is_set()
    assert codes == []
    signals.note()
    assert codes == [ExitCode.INTERRUPTED]


async def test_a_start_is_given_up_when_a_stop_is_asked_for() -> None:
    signals = StopSignals(lambda _: None)
    began, undone = asyncio.Event(), asyncio.Event()

    async def start() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    task = asyncio.ensure_future(signals.unless_wanted(start()))
    await began.wait()
    signals.note()
    assert await task is False
    assert undone.is_set()


async def test_a_start_that_fails_is_told_to_its_caller() -> None:
    async def start() -> None:
        raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        await StopSignals(lambda _: None).unless_wanted(start())
