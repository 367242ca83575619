"""Whom a silence is laid to: the group, its unit, or the whole connection. Values in, verdicts out."""

from edge_agent.pipeline.liveness import ConnectionLiveness, Subject, default_deadline
from edge_agent.runtime.liveness import Stage

WHOLE = Subject("connection", "plc")
UNIT_1 = Subject("unit", "plc", 1)
UNIT_2 = Subject("unit", "plc", 2)


def group(unit_id: int, name: str) -> Subject:
    return Subject("group", "plc", unit_id, name)


def connection(*groups: tuple[int | None, str, float]) -> ConnectionLiveness:
    return ConnectionLiveness("plc", groups, 0.0)


def test_a_group_s_default_deadline_is_five_cycles_and_never_less_than_half_a_minute() -> None:
    assert default_deadline(0.5, 0.1) == 30.0
    assert default_deadline(60.0, 0.1) == 300.0
    # A serial line on which one round takes a minute.
    assert default_deadline(1.0, 60.0) == 180.0


def test_while_all_groups_bring_data_there_is_nothing_to_do() -> None:
    it = connection((1, "a", 10.0), (2, "b", 10.0))
    for now in range(100):
        verdict = it.judge(float(now), [now - 1.0, now - 9.0])
        assert (verdict.rebuild, verdict.stale, verdict.silent) == (False, (), ())


def test_a_dead_unit_tears_down_no_link_over_which_another_one_lives() -> None:
    it = connection((1, "dead", 10.0), (2, "alive", 10.0))
    verdicts = [it.judge(float(now), [0.0, now - 1.0]) for now in range(200)]
    assert not any(verdict.rebuild for verdict in verdicts)
    assert verdicts[19].stale == ()
    assert verdicts[20].stale == (0,)
    assert verdicts[29].silent == ()
    assert {verdict.silent for verdict in verdicts[30:]} == {(UNIT_1,)}


def test_a_link_over_which_nothing_lives_is_built_anew_once_a_deadline_and_no_storm() -> None:
    it = connection((1, "a", 10.0), (2, "b", 10.0))
    due = [now for now in range(1000) if it.judge(float(now), [0.0, 0.0]).rebuild]
    assert due == [10, 30, 70, 150, 310, 630, 950]


def test_a_dead_plc_is_one_alert_and_not_one_for_each_group() -> None:
    it = connection(*((unit, f"g{number}", 10.0) for unit in (1, 2) for number in range(50)))
    assert it.judge(31.0, [0.0] * 100).silent == (WHOLE,)


def test_one_dead_group_of_a_unit_that_lives_is_told_by_its_name() -> None:
    it = connection((1, "dead", 10.0), (1, "alive", 10.0), (2, "other", 10.0))
    assert it.judge(31.0, [0.0, 30.0, 30.0]).silent == (group(1, "dead"),)


def test_a_unit_is_dead_by_its_quickest_group_though_another_is_read_once_an_hour() -> None:
    it = connection((1, "fast", 10.0), (1, "hourly", 18_000.0), (2, "alive", 10.0))
    assert it.judge(29.0, [0.0, 0.0, 28.0]).silent == ()
    assert it.judge(31.0, [0.0, 0.0, 30.0]).silent == (UNIT_1,)


def test_each_dead_unit_behind_a_gateway_that_lives_is_told() -> None:
    it = connection((1, "a", 10.0), (2, "b", 10.0), (3, "c", 10.0))
    assert it.judge(31.0, [0.0, 0.0, 30.0]).silent == (UNIT_1, UNIT_2)


def test_silence_of_what_is_not_configured_is_not_known() -> None:
    it = connection((1, "a", 10.0), (2, "b", 10.0))
    it.judge(50.0, [40.0, 5.0])
    assert it.silence(UNIT_1, 50.0) == 10.0
    assert it.silence(UNIT_2, 50.0) == 45.0
    assert it.silence(WHOLE, 50.0) == 10.0
    assert it.silence(group(2, "b"), 50.0) == 45.0
    assert it.silence(Subject("unit", "plc", 9), 50.0) is None
    assert it.silence(group(1, "b"), 50.0) is None


def test_a_standstill_of_the_agent_is_nobody_s_silence() -> None:
    it = connection((1, "a", 10.0), (2, "b", 10.0))
    it.judge(5.0, [5.0, 5.0])
    it.excuse(3600.0)
    verdict = it.judge(3606.0, [5.0, 5.0])
    assert (verdict.rebuild, verdict.stale, verdict.silent) == (False, (), ())
    assert it.stage(0, 3616.0) is Stage.LATE


def test_a_connection_without_groups_says_nothing() -> None:
    it = connection()
    assert it.judge(1e6, []).silent == ()
