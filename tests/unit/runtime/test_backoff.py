from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.backoff import Backoff


@given(
    initial=st.floats(0.001, 10),
    growth=st.floats(1, 1_000),
    factor=st.floats(1, 10),
    jitter=st.floats(0, 0.99),
    seed=st.integers(),
    calls=st.integers(1, 100),
)
def test_a_delay_lies_between_its_shortest_and_its_full_length(
    initial: float, growth: float, factor: float, jitter: float, seed: int, calls: int
) -> None:
    maximum = initial * growth
    backoff = Backoff(initial, maximum, factor, jitter, random=Random(seed))
    full = initial
    for _ in range(calls):
        delay = backoff.next()
        assert full * (1 - jitter) <= delay <= full <= maximum
        full = min(maximum, full * factor)


def test_delays_grow_to_the_maximum_and_begin_again_after_a_success() -> None:
    backoff = Backoff(1, 10, factor=3, jitter=0)
    assert [backoff.next() for _ in range(4)] == [1, 3, 9, 10]
    backoff.reset()
    assert backoff.next() == 1


def test_a_fleet_does_not_come_back_in_one_moment() -> None:
    fleet = [Backoff(30, 30, random=Random(seed)) for seed in range(100)]
    delays = [backoff.next() for backoff in fleet]
    assert max(delays) - min(delays) > 5


@pytest.mark.parametrize(
    ("initial", "maximum", "factor", "jitter"), [(0, 1, 2, 0), (2, 1, 2, 0), (1, 2, 0.5, 0), (1, 2, 2, 1)]
)
def test_impossible_settings_are_refused(
    initial: float, maximum: float, factor: float, jitter: float
) -> None:
    with pytest.raises(ValueError, match="initial"):
        Backoff(initial, maximum, factor, jitter)
