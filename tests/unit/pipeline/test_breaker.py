from edge_agent.pipeline.breaker import Breaker, BreakerState
from edge_agent.runtime.backoff import Backoff


def breaker() -> Breaker:
    return Breaker(Backoff(5.0, 60.0, jitter=0))


def test_it_opens_after_three_failures_in_a_row() -> None:
    it = breaker()
    for _ in range(2):
        it.failed(0.0)
        assert it.allows(0.0)
    it.succeeded()
    for _ in range(3):
        assert it.allows(0.0)
        it.failed(0.0)
    assert not it.allows(4.9)


def test_it_lets_one_probe_through_for_each_wait_and_waits_longer_each_time() -> None:
    it = breaker()
    for _ in range(3):
        it.failed(0.0)
    now, waits = 0.0, []
    for _ in range(6):
        waits.append(it.retry_at - now)
        now = it.retry_at
        assert not it.allows(now - 0.1)
        assert it.allows(now)
        it.failed(now)
        assert not it.allows(now)
    assert waits == [5, 10, 20, 40, 60, 60]


def test_one_answer_closes_it_and_begins_anew() -> None:
    it = breaker()
    for _ in range(3):
        it.failed(0.0)
    assert it.allows(5.0)
    it.succeeded()
    assert it.state is BreakerState.CLOSED
    it.failed(5.0)
    assert it.allows(5.0)
