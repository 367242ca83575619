from edge_agent.pipeline.schedule import FIRST_POLL_NS, Schedule

SECOND = 1_000_000_000


def test_a_fixed_rate_does_not_drift_in_a_year_of_late_polls() -> None:
    schedule = Schedule.starting(7, 0.1, 0)
    for cycle in range(100_000):
        assert schedule.due == 7 + cycle * 100_000_000
        schedule.advance(schedule.due + 99_999_999)
    schedule.due += 3_153_600_000 * 100_000_000
    schedule.advance(schedule.due)
    assert (schedule.due - 7) % 100_000_000 == 0
    assert schedule.overruns == 0


def test_edgex_684_overruns_are_counted_and_never_queued() -> None:
    schedule = Schedule.starting(0, 1.0, 0)
    assert schedule.advance(int(3.5 * SECOND)) == 3
    assert schedule.due == 4 * SECOND
    assert schedule.advance(int(4.2 * SECOND)) == 0
    assert schedule.due == 5 * SECOND
    assert schedule.overruns == 3


def test_a_cycle_that_takes_a_little_more_than_the_interval_costs_one_instant() -> None:
    schedule = Schedule.starting(0, 1.0, 0)
    assert schedule.advance(int(1.1 * SECOND)) == 1
    assert schedule.due == 2 * SECOND


def test_a_sleep_that_ends_too_early_does_not_poll_an_instant_twice() -> None:
    schedule = Schedule.starting(0, 1.0, 0)
    schedule.advance(0)
    assert schedule.advance(SECOND - 5) == 0
    assert schedule.due == 2 * SECOND


def test_instants_without_a_link_are_no_overruns() -> None:
    schedule = Schedule.starting(0, 1.0, 0)
    assert schedule.advance(int(100.5 * SECOND), excused=int(98.2 * SECOND)) == 2
    assert schedule.due == 101 * SECOND


def test_a_hastened_poll_leaves_the_grid_where_it_is() -> None:
    schedule = Schedule.starting(0, 10.0, 0)
    schedule.advance(0)
    schedule.hasten(int(3.3 * SECOND))
    assert schedule.due == int(3.3 * SECOND)
    assert schedule.advance(int(3.4 * SECOND)) == 0
    assert schedule.due == 10 * SECOND
    schedule.hasten(30 * SECOND)
    assert schedule.due == 10 * SECOND


def test_phases_of_a_hundred_groups_are_spread_over_the_interval() -> None:
    firsts = sorted(Schedule.starting(0, 1.0, index).first for index in range(100))
    gaps = [late - early for early, late in zip(firsts, [*firsts[1:], SECOND], strict=True)]
    assert max(gaps) < 2 * SECOND / 100


def test_a_group_of_a_long_interval_is_read_within_a_second_of_the_start() -> None:
    for index in range(50):
        schedule = Schedule.starting(0, 3600.0, index)
        assert 0 <= schedule.due < FIRST_POLL_NS
        assert schedule.advance(schedule.due) == 0
        assert schedule.due in (schedule.first, schedule.first + 3600 * SECOND)
