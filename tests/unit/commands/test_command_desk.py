"""Commands at the agent: taken once, run once, ended in their time, and told until the centre knows."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_agent.commands.executor import GRACE_SECONDS
from edge_agent.contracts.errors import StorageFailed
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.commands import MAX_LOG_BYTES, MAX_OFFERED
from tests.unit.commands.orders import House, offer


async def test_a_command_runs_once_however_often_it_is_offered(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        assert await house.take(offer("once"), offer("quick"))
        assert not await house.take(offer("once"))
        final = await house.until_ended("once", "quick")
        assert [each.state for each in final.values()] == ["succeeded", "succeeded"]
        assert final["once"].result == {"text": "done"}
        # A centre that was restored offers it again: it hears the end once more.
        assert not await house.take(offer("once"))
        again = await house.until_ended("once")
        assert again["once"].result == {"text": "done"}
        assert again["once"].no > final["once"].no
    assert sorted(house.begun) == ["once", "quick"]
    assert house.ends.count(("once", "succeeded")) == 1


async def test_reports_say_each_state_with_rising_numbers(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("hang"))
        await house.until(lambda: house.state("hang") == "running")
        said = await house.told()
        await house.take(cancel=("hang",))
        said += [("hang", report) for report in (await house.until_ended("hang")).values()]
    assert [report.state for _, report in said][-2:] == ["running", "cancelled"]
    assert [report.no for _, report in said] == list(range(1, len(said) + 1))


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("unheard_of", {}, "unknown_type"),
        ("no_handler", {}, "unknown_type"),
        ("choice", {"number": "many"}, "bad_params"),
        ("choice", {"numbr": 1}, "bad_params"),
        ("fail", {}, "not_permitted"),
        ("refuse", {}, "not_here"),
    ],
)
async def test_what_may_not_run_is_rejected_and_begins_nothing(
    tmp_path: Path, kind: str, params: dict[str, Any], code: str
) -> None:
    async with House(tmp_path, allow=["quick", "choice", "no_handler", "refuse", "unheard_of"]) as house:
        await house.take(offer(kind, **params))
        final = await house.until_ended(kind)
    assert (final[kind].state, final[kind].code) == ("rejected", code)
    assert house.begun == []


async def test_failures_are_told_with_their_code(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("fail"), offer("break"))
        final = await house.until_ended("fail", "break")
    assert (final["fail"].state, final["fail"].code, final["fail"].message) == (
        "failed", "no_luck", "it did not work",
    )  # fmt: skip
    assert (final["break"].state, final["break"].code) == ("failed", "internal")


async def test_what_hangs_is_timed_out_and_its_slot_is_free_even_where_it_does_not_end(
    tmp_path: Path,
) -> None:
    async with House(tmp_path, concurrency=2) as house:
        await house.take(offer("hang"), offer("hang_hard"), offer("quick"))
        await house.until(lambda: len(house.begun) == 2)
        assert house.state("quick") == "waiting"
        await house.clock.advance(10.0)
        await house.clock.advance(GRACE_SECONDS)
        final = await house.until_ended("hang", "hang_hard", "quick")
    assert {name: report.state for name, report in final.items()} == {
        "hang": "timed_out", "hang_hard": "timed_out", "quick": "succeeded",
    }  # fmt: skip


async def test_what_waits_for_a_slot_expires_or_is_cancelled_and_never_begins(tmp_path: Path) -> None:
    async with House(tmp_path, concurrency=1) as house:
        await house.take(offer("hang", timeout=1_000.0))
        await house.until(lambda: house.begun == ["hang"])
        await house.take(
            offer("once", "late", start=5.0), offer("once", "stopped"), offer("once", "dead", 0.0)
        )
        await house.take(cancel=("stopped",))
        stopped = await house.until_ended("stopped", "dead")
        await house.clock.advance(5.0)
        late = await house.until_ended("late")
    assert [stopped["stopped"].state, stopped["dead"].state] == ["cancelled", "expired"]
    assert late["late"].state == "expired"
    assert house.begun == ["hang"]


async def test_a_cancelled_id_that_never_came_is_noted_and_not_run_later(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(cancel=("gone",))
        final = await house.until_ended("gone")
        assert (final["gone"].state, final["gone"].code, final["gone"].no) == ("cancelled", "not_known", 1)
        await house.take(offer("once", "gone"))
        assert (await house.until_ended("gone"))["gone"].state == "cancelled"
    assert house.begun == []


async def test_output_goes_by_offset_and_within_its_bound(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("talk"))
        await house.until(lambda: ("talk", "succeeded") in house.ends)
        parts = [report for _, report in await house.told()]
    text = b""
    for report in parts:
        if report.log is not None:
            assert report.log.offset == len(text)
            text += report.log.text.encode()
    assert len(text) == min(MAX_LOG_BYTES, 5 * len(("온도 " * 4_000).encode()))
    assert [report.state for report in parts][-1] == "succeeded"
    assert "succeeded" not in [report.state for report in parts][:-1]


async def test_a_report_is_repeated_as_it_is_until_it_is_acknowledged(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("hang"))
        await house.until(lambda: house.state("hang") == "running")
        first = await house.desk.report("hang")
        assert first is not None
        await house.take(cancel=("hang",))
        await house.until(lambda: ("hang", "cancelled") in house.ends)
        assert await house.desk.report("hang") == first
        await house.desk.acknowledged("hang", first.no)
        final = await house.desk.report("hang")
        assert final is not None
        assert (final.no, final.state) == (first.no + 1, "cancelled")


async def test_what_the_centre_does_not_take_is_said_again_with_less_under_its_number(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("quick"))
        await house.until(lambda: ("quick", "succeeded") in house.ends)
        first = await house.desk.report("quick")
        assert first is not None
        await house.desk.unacceptable("quick", first.no, "400: too odd")
        second = await house.desk.report("quick")
        assert second is not None
        assert (second.no, second.state, second.code, second.result) == (
            first.no, first.state, "report_refused", None,
        )  # fmt: skip
        await house.desk.unacceptable("quick", second.no, "400: still")
        assert await house.desk.report("quick") is None
        await house.take(offer("quick"))
        await house.told()
        assert house.begun == ["quick"]


async def test_a_report_refused_for_good_stops_nothing_that_runs(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("hang"))
        await house.until(lambda: house.begun == ["hang"])
        for _ in range(2):
            said = await house.desk.report("hang")
            assert said is not None
            await house.desk.unacceptable("hang", said.no, "400: odd")
        await house.told()
        assert house.state("hang") == "running"


async def test_what_ended_does_not_run_again_where_the_disk_refused_to_note_its_end(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("once"))
        await house.until(lambda: ("once", "succeeded") in house.ends)
        await asyncio.to_thread(_refuse_updates, house.path)
        await house.told()
        assert not house.desk.busy
        assert len(await house.journal.unfinished()) == 1
        await house.take(offer("once"))
        await house.told()
        assert house.begun == ["once"]


def _refuse_updates(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON command BEGIN SELECT RAISE(FAIL, 'full'); END")


async def test_what_the_centre_forgot_is_stopped_and_forgotten(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("hang"))
        await house.until(lambda: house.begun == ["hang"])
        await house.desk.forget("hang")
        assert not house.desk.busy
    async with House(tmp_path, "run-2") as house:
        await house.take(offer("quick"))
        assert list(await house.until_ended("quick")) == ["quick"]
    assert house.begun == ["quick"]


# --- another life ---------------------------------------------------------------------------------


async def test_after_a_crash_only_what_may_run_twice_runs_again(tmp_path: Path) -> None:
    async with House(tmp_path, concurrency=3) as house:
        await house.take(offer("hang"), offer("restart_agent"))
        await house.until(lambda: len(house.begun) == 2)
        await house.take(offer("hang_hard", "third"), offer("once", "waiting"))
        await house.until(lambda: len(house.begun) == 3)
    second = House(tmp_path, "run-2", clock=house.clock, concurrency=4)
    async with second:
        final = await second.until_ended("restart_agent", "waiting")
        await second.until(lambda: {"hang", "third"} <= set(second.begun))
    assert final["restart_agent"].state == "succeeded"
    assert final["restart_agent"].result == {"run_before": "run-1", "run": "run-2", "version": "1.2.3"}
    assert final["waiting"].state == "succeeded"
    assert sorted(second.begun) == ["hang", "third", "waiting"]


async def test_what_must_not_run_twice_and_was_interrupted_is_unknown(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        entries = await _interrupted(house, "once")
    second = House(tmp_path, "run-2", clock=house.clock)
    async with second:
        final = await second.until_ended("once")
    assert entries == 1
    assert (final["once"].state, final["once"].code) == ("unknown", "interrupted")
    assert second.begun == []


async def _interrupted(house: House, kind: str) -> int:
    """The journal says that it runs, as after a kill in the middle of it."""
    from edge_agent.commands.entry import Entry
    from edge_agent.wire.commands import CommandState

    entry = Entry.of(offer(kind), house.now())
    entry.state, entry.run, entry.started_ms, entry.attempts = (
        CommandState.RUNNING,
        "run-1",
        house.clock.wall_ms(),
        1,
    )
    await house.journal.put([entry])
    return len(await house.journal.unfinished())


async def test_an_unacknowledged_end_is_told_by_the_next_life(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("quick"))
        await house.until(lambda: ("quick", "succeeded") in house.ends)
        first = await house.desk.report("quick")
    second = House(tmp_path, "run-2", clock=house.clock)
    async with second:
        assert await second.desk.wait() == ["quick"]
        assert await second.desk.report("quick") == first
        final = await second.until_ended("quick")
    assert final["quick"].result == {"text": "done"}
    assert second.begun == []


async def test_a_damaged_journal_is_set_aside_and_what_may_have_run_is_unknown(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take(offer("once"))
        await house.until_ended("once")
    house.path.write_bytes(b"this is no database" * 500)
    second = House(tmp_path, "run-2", clock=house.clock)
    async with second:
        many = [offer("once", f"old-{number}") for number in range(MAX_OFFERED)]
        await second.take(*many)
        await second.take(offer("once", "older"), offer("quick"))
        final = await second.until_ended("old-0", "older", "quick")
        await second.take(offer("once", "new"))
        final |= await second.until_ended("new")
    assert [final[name].state for name in ("old-0", "older", "quick", "new")] == [
        "unknown", "unknown", "succeeded", "succeeded",
    ]  # fmt: skip
    assert second.path.with_name("commands.db.damaged").exists()
    assert sorted(second.begun) == ["new", "quick"]


async def test_nothing_is_taken_where_it_cannot_be_journalled(tmp_path: Path) -> None:
    house = House(tmp_path / "not there")
    async with house:
        with pytest.raises(StorageFailed):
            await house.take(offer("once"))
        assert not house.desk.busy
    assert house.begun == []


async def test_an_agent_that_gets_no_command_opens_no_file(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        await house.take()
    assert not house.path.exists()


async def test_times_are_the_monotonic_clocks(tmp_path: Path) -> None:
    clock = ManualClock()
    async with House(tmp_path, concurrency=1, clock=clock) as house:
        await house.take(offer("hang", timeout=1_000.0))
        await house.until(lambda: house.begun == ["hang"])
        await house.take(offer("once", start=60.0))
        clock.step_wall(86_400_000)
        await clock.advance(59.0)
        assert house.state("once") == "waiting"
        await house.take(cancel=("hang",))
        assert (await house.until_ended("once"))["once"].state == "succeeded"
