"""The bound of what a power cut took: at least what can have been lost, and None rather than a guess."""

from edge_agent.buffer.pace import Stored, most_since

HOUR = 3_600_000


def run(start: int, count: int, every_ms: int = 100, samples: int = 300) -> list[Stored]:
    ends = [start + every_ms * number for number in range(1, count + 1)]
    return [Stored(samples, end - every_ms, end) for end in ends]


def test_it_covers_a_pace_that_went_on_until_the_cut() -> None:
    batches = run(0, 60)
    assert 1500 // 100 * 300 <= (most_since(batches, batches[-1].t1 + 1500) or 0) <= 2 * 1500 // 100 * 300


def test_hours_in_which_nothing_ran_do_not_make_the_bound_too_small() -> None:
    batches = [*run(0, 20), *run(HOUR, 20), *run(2 * HOUR, 20)]
    assert (most_since(batches, batches[-1].t1 + 2000) or 0) >= 2000 // 100 * 300


def test_a_burst_counts_with_its_own_pace() -> None:
    batches = [*run(0, 30, samples=1), *run(3000, 30, samples=1000)]
    assert (most_since(batches, batches[-1].t1 + 1000) or 0) >= 10_000


def test_one_batch_alone_bounds_too() -> None:
    assert (most_since([Stored(100, 5, 5)], 1005) or 0) >= 1000 // 50 * 100


def test_a_clock_behind_the_last_batch_tells_nothing() -> None:
    """As after a start in 1970: a bound of one sample would be a lie."""
    assert most_since(run(HOUR, 5), 10) is None
    assert most_since([], HOUR) is None
    assert most_since([Stored(0, 1, 2)], HOUR) is None
