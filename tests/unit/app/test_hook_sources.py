"""Times of schedules and links that come and go, as hooks are told of them."""

from datetime import UTC, datetime

from edge_agent.app.hook_sources import LinkWatch, Schedules, Sources
from edge_agent.contracts.hooks import LinkChange, Tick
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.scripts import HookPoint, Script


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def script(
    name: str, schedule: str, timezone: str = "UTC", point: HookPoint = HookPoint.ON_SCHEDULE
) -> Script:
    return Script(name=name, hook_type=point, source="x", schedule=schedule, timezone=timezone)


def schedules(now: str, *scripts: Script) -> Schedules:
    made = Schedules()
    made.serve(scripts, at(now))
    return made


def link(state: str, since: int, name: str = "plc") -> LinkChange:
    return LinkChange(name, "modbus", "192.0.2.1:502", state, since)


def test_a_time_comes_once() -> None:
    shifts = schedules("2026-03-01T05:59:59", script("shift", "0 6,14,22 * * *"))
    assert shifts.due(at("2026-03-01T05:59:59.999")) == []
    assert shifts.due(at("2026-03-01T06:00:00")) == [Tick("shift", at("2026-03-01T06:00:00"))]
    assert shifts.due(at("2026-03-01T06:00:00.500")) == []
    assert shifts.due(at("2026-03-01T14:00:00.700")) == [Tick("shift", at("2026-03-01T14:00:00"))]


def test_of_times_that_were_missed_the_last_is_told() -> None:
    minutes = schedules("2026-03-01T06:00:30", script("minute", "* * * * *"))
    assert minutes.due(at("2026-03-01T09:10:11")) == [Tick("minute", at("2026-03-01T09:10:00"))]
    assert minutes.due(at("2026-03-01T09:10:59")) == []


def test_a_time_is_told_neither_before_it_comes_nor_again_after_a_late_look() -> None:
    minutes = schedules("2026-03-01T06:00:30", script("minute", "* * * * *"))
    assert minutes.due(at("2026-03-01T06:01:59.301")) == [Tick("minute", at("2026-03-01T06:01:00"))]
    assert minutes.due(at("2026-03-01T06:02:00.301")) == [Tick("minute", at("2026-03-01T06:02:00"))]
    assert minutes.due(at("2026-03-01T06:02:01.301")) == []


def test_several_come_in_their_order() -> None:
    both = schedules("2026-03-01T06:00:30", script("b", "2 * * * *"), script("a", "1 * * * *"))
    assert [tick.hook for tick in both.due(at("2026-03-01T06:03:00"))] == ["a", "b"]


def test_a_schedule_is_of_its_time_zone_and_keeps_to_summer_time() -> None:
    berlin = schedules("2026-03-28T12:00:00", script("six", "0 6 * * *", "Europe/Berlin"))
    # The clocks go forward in the night between.
    assert berlin.due(at("2026-03-29T04:00:00")) == [Tick("six", at("2026-03-29T04:00:00"))]
    seoul = schedules("2026-03-28T12:00:00", script("six", "0 6 * * *", "Asia/Seoul"))
    assert seoul.due(at("2026-03-28T21:00:00")) == [Tick("six", at("2026-03-28T21:00:00"))]


def test_a_clock_that_is_set_back_a_little_repeats_nothing_and_by_days_begins_anew() -> None:
    hours = schedules("2026-03-01T05:30:00", script("hour", "0 * * * *"))
    assert len(hours.due(at("2026-03-01T06:00:01"))) == 1
    assert hours.due(at("2026-03-01T05:59:58")) == []
    assert hours.due(at("2026-03-01T06:00:02")) == []
    assert hours.due(at("2026-02-20T06:10:00")) == []
    assert hours.due(at("2026-02-20T07:00:00")) == [Tick("hour", at("2026-02-20T07:00:00"))]


def test_a_clock_that_was_set_back_right_before_a_change_of_scripts_keeps_no_schedule_silent() -> None:
    hours = schedules("2026-03-01T05:30:00", script("hour", "0 * * * *"))
    hours.serve([script("hour", "0 * * * *"), script("other", "1 1 * * *")], at("2026-02-01T05:30:00"))
    assert hours.due(at("2026-02-01T06:00:00")) == [Tick("hour", at("2026-02-01T06:00:00"))]


def test_a_script_that_stays_keeps_its_next_time() -> None:
    hours = schedules("2026-03-01T05:59:59", script("hour", "0 * * * *"), script("half", "30 * * * *"))
    changed = script("half", "40 * * * *")
    hours.serve([script("hour", "0 * * * *"), changed], at("2026-03-01T06:00:01"))
    assert hours.due(at("2026-03-01T06:35:00")) == [Tick("hour", at("2026-03-01T06:00:00"))]
    assert hours.due(at("2026-03-01T06:40:00")) == [Tick("half", at("2026-03-01T06:40:00"))]


def test_links_are_told_when_they_change_and_once() -> None:
    watch = LinkWatch()
    assert watch.changes([link("connecting", 1)], 5) == []
    assert watch.changes([link("connected", 10)], 11) == [link("connected", 10)]
    assert watch.changes([link("connected", 10)], 12) == []
    assert watch.changes([link("down", 20), link("connected", 15, "b")], 21) == [
        link("connected", 15, "b"), link("down", 20),
    ]  # fmt: skip


def test_a_link_that_was_lost_between_two_looks_is_told_as_back() -> None:
    watch = LinkWatch()
    watch.changes([link("connected", 10)], 11)
    assert watch.changes([link("connected", 30)], 31) == [link("connected", 30)]


def test_a_connection_that_is_polled_no_more_is_told_as_stopped() -> None:
    watch = LinkWatch()
    watch.changes([link("connected", 10)], 11)
    assert watch.changes([], 40) == [link("stopped", 40)]
    assert watch.changes([], 41) == []


def test_without_a_hook_that_wants_them_links_are_not_looked_at() -> None:
    asked: list[int] = []

    def links() -> list[LinkChange]:
        asked.append(1)
        return [link("connected", 10)]

    sources = Sources(links, ManualClock())
    sources.serve([script("t", "", point=HookPoint.TRANSFORM)])
    assert sources.links() == []
    assert asked == []
    sources.serve([script("t", "", point=HookPoint.ON_CONNECT)])
    assert sources.links() == [link("connected", 10)]
