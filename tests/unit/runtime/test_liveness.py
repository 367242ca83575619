"""Silence against a deadline: what is done after one, two and three of them."""

from itertools import pairwise

import pytest

from edge_agent.runtime.liveness import Liveness, Stage


def test_silence_has_a_stage_for_each_deadline_that_passed() -> None:
    it = Liveness(10.0, 100.0)
    stages = {now: it.stage(now) for now in (100, 109.9, 110, 119.9, 120, 129.9, 130, 1e6)}
    assert list(stages.values()) == [
        Stage.LIVE, Stage.LIVE, Stage.LATE, Stage.LATE, Stage.STALE, Stage.STALE, Stage.SILENT, Stage.SILENT,
    ]  # fmt: skip


def test_one_sign_of_life_ends_every_stage_and_an_old_one_says_nothing() -> None:
    it = Liveness(10.0, 100.0)
    assert it.stage(150.0) is Stage.SILENT
    it.alive(99.0)
    assert it.stage(150.0) is Stage.SILENT
    it.alive(149.0)
    assert it.stage(150.0) is Stage.LIVE


def test_a_rebuild_is_due_once_for_a_deadline_and_then_ever_more_rarely() -> None:
    it = Liveness(10.0, 0.0)
    due = [second for second in range(1, 3000) if it.rebuild_due(float(second))]
    assert due[:5] == [10, 30, 70, 150, 310]
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert max(gaps) == 320


def test_after_a_sign_of_life_the_next_rebuild_is_one_deadline_away_again() -> None:
    it = Liveness(10.0, 0.0)
    assert [second for second in range(100) if it.rebuild_due(float(second))] == [10, 30, 70]
    it.alive(100.0)
    assert [second for second in range(100, 131) if it.rebuild_due(float(second))] == [110, 130]


def test_a_time_in_which_nobody_could_hear_is_no_silence() -> None:
    it = Liveness(10.0, 0.0)
    it.alive(5.0)
    it.excuse(3600.0)
    assert it.stage(3609.0) is Stage.LIVE
    assert not it.rebuild_due(3609.0)
    assert it.stage(3616.0) is Stage.LATE


@pytest.mark.parametrize("deadline", [0.0, -1.0])
def test_nobody_is_dead_at_once(deadline: float) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        Liveness(deadline, 0.0)


class Subscription:
    """What a driver's subscription tells: samples when values change, and the server's keepalives for it.

    The session has keepalives of its own, which say nothing of the subscription.
    """

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness

    def sample(self, now: float) -> None:
        self._liveness.alive(now)

    def keepalive(self, now: float) -> None:
        self._liveness.alive(now)

    def session_keepalive(self, now: float) -> None:
        pass


def test_a_subscription_without_changes_lives_by_its_own_keepalives() -> None:
    liveness = Liveness(30.0, 0.0)
    subscription = Subscription(liveness)
    subscription.sample(1.0)
    for now in range(10, 3600, 10):
        subscription.keepalive(float(now))
        assert liveness.stage(float(now + 9)) is Stage.LIVE


def test_tb_1641_a_dead_subscription_on_a_session_that_lives_is_found_and_told() -> None:
    liveness = Liveness(30.0, 0.0)
    subscription = Subscription(liveness)
    subscription.sample(5.0)
    seen: dict[Stage, int] = {}
    rebuilds = []
    for now in range(6, 100):
        subscription.session_keepalive(float(now))
        seen.setdefault(liveness.stage(float(now)), now)
        if liveness.rebuild_due(float(now)):
            rebuilds.append(now)
    assert seen == {Stage.LIVE: 6, Stage.LATE: 35, Stage.STALE: 65, Stage.SILENT: 95}
    assert rebuilds == [35, 95]
